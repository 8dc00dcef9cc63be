function gensrView(figure) {
  const { layers, halves, limits: [low, high], side, points } = JSON.parse(figure.dataset.net);
  const run = gensrNet(layers, halves), canvas = gensrStart(figure), pad = figure.querySelector(".gensr-pad"), mark = pad.querySelector(".gensr-z");
  const sliders = [...figure.querySelectorAll("input")], output = figure.querySelector("output"), z = sliders.map((s) => +s.value);
  figure.decode = (u, v) => run({ x: Float32Array.of(u, v), shape: [2] });
  const number = (v) => v.toFixed(2).replace("-", "−");

  function show(u, v) {
    [u, v].forEach((value, i) => {
      z[i] = Math.min(high, Math.max(low, value));
      sliders[i].value = z[i];
      sliders[i].setAttribute("aria-valuetext", number(z[i]));
    });
    mark.setAttribute("transform", `translate(${((z[0] - low) / (high - low)) * side} ${((high - z[1]) / (high - low)) * side})`);
    gensrDraw(canvas, figure.decode(...z));
    let near = null, least = Infinity;
    for (const [a, b, label] of points) {
      const d = (a - z[0]) ** 2 + (b - z[1]) ** 2;
      if (d < least) [near, least] = [label, d];
    }
    output.value = `z = (${number(z[0])}, ${number(z[1])})` + (near ? `, nearest point: ${near}` : "");
  }

  function drag(event) {
    const box = pad.getBoundingClientRect();
    show(low + ((event.clientX - box.left) / box.width) * (high - low), high - ((event.clientY - box.top) / box.height) * (high - low));
  }
  pad.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pad.setPointerCapture(event.pointerId);
    drag(event);
  });
  pad.addEventListener("pointermove", (event) => pad.hasPointerCapture(event.pointerId) && drag(event));
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  pad.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = ((high - low) / 40) * (event.shiftKey ? 0.2 : 1), move = moves[event.key];
    if (move) show(z[0] + step * move[0], z[1] + step * move[1]);
    else if (event.key === "Home") show((low + high) / 2, (low + high) / 2);
    else return;
    event.preventDefault();
  });
  sliders.forEach((slider, i) => slider.addEventListener("input", () => show(...z.map((v, j) => (i === j ? +slider.value : v)))));
  show(...z);
}
