// Runs a decoder on one example. `layers` is a list of [name, ...numbers]; `halves` holds all weights as base64 of 16-bit floats, in the layers' order.
function gensrNet(layers, halves) {
  const bytes = Uint8Array.from(atob(halves), (c) => c.charCodeAt(0)), weights = new Float32Array(bytes.length / 2);
  for (let i = 0; i < weights.length; i++) {
    const b = bytes[2 * i] | (bytes[2 * i + 1] << 8), e = (b >> 10) & 31, m = b & 1023;
    weights[i] = (b >> 15 ? -1 : 1) * (e ? (1 + m / 1024) * 2 ** (e - 15) : m * 2 ** -24);
  }
  let at = 0;
  const take = (n) => weights.subarray(at, (at += n));
  const each = (f) => ({ x, shape }) => ({ x: x.map(f), shape });
  const sigmoid = (v) => 1 / (1 + Math.exp(-v));
  const kinds = {
    linear(n, m) {
      const w = take(n * m), b = take(n);
      return ({ x }) => {
        const y = Float32Array.from(b);
        for (let o = 0, k = 0; o < n; o++) for (let i = 0; i < m; i++) y[o] += w[k++] * x[i];
        return { x: y, shape: [n] };
      };
    },
    conv(n, m, size, pad) { // (m, h, v) -> (n, H, V)
      const w = take(n * m * size * size), b = take(n);
      return ({ x, shape: [, h, v] }) => {
        const H = h + 2 * pad - size + 1, V = v + 2 * pad - size + 1, y = new Float32Array(n * H * V);
        for (let o = 0, k = 0; o < n; o++) {
          y.fill(b[o], o * H * V, (o + 1) * H * V);
          for (let i = 0; i < m; i++) for (let dr = 0; dr < size; dr++) for (let ds = 0; ds < size; ds++) {
            const g = w[k++], left = Math.max(0, pad - ds), right = Math.min(V, v + pad - ds);
            for (let r = Math.max(0, pad - dr); r < Math.min(H, h + pad - dr); r++) {
              let to = (o * H + r) * V + left, from = (i * h + r + dr - pad) * v + left + ds - pad;
              for (let s = left; s < right; s++) y[to++] += g * x[from++];
            }
          }
        }
        return { x: y, shape: [n, H, V] };
      };
    },
    shuffle: (r) => ({ x, shape: [c, h, v] }) => { // (c, h, v) -> (c/r², h·r, v·r)
      const n = c / r / r, y = new Float32Array(x.length);
      for (let o = 0, k = 0; o < n; o++) for (let i = 0; i < r; i++) for (let j = 0; j < r; j++)
        for (let a = 0; a < h; a++) for (let b = 0; b < v; b++) y[((o * h + a) * r + i) * v * r + b * r + j] = x[k++];
      return { x: y, shape: [n, h * r, v * r] };
    },
    embed(k, d) { // codes (h, v) -> vectors (d, h, v)
      const e = take(k * d);
      return ({ x, shape: [h, v] }) => {
        const y = new Float32Array(d * h * v);
        for (let i = 0; i < d; i++) for (let p = 0; p < h * v; p++) y[i * h * v + p] = e[x[p] * d + i];
        return { x: y, shape: [d, h, v] };
      };
    },
    residual(scale, inner) {
      const branch = chain(inner);
      return ({ x, shape }) => { const y = branch({ x, shape }).x; return { x: x.map((v, i) => v + scale * y[i]), shape }; };
    },
    shape: (...shape) => ({ x }) => ({ x, shape }),
    relu: () => each((v) => (v > 0 ? v : 0)),
    leaky: (slope) => each((v) => (v > 0 ? v : slope * v)),
    silu: () => each((v) => v * sigmoid(v)),
    tanh: () => each(Math.tanh),
    sigmoid: () => each(sigmoid),
    location: () => each((v) => Math.min(1, Math.max(0, 0.5 * v + 0.5))),
  };
  function chain(list) {
    const steps = list.map(([kind, ...numbers]) => kinds[kind](...numbers));
    return (value) => steps.reduce((v, step) => step(v), value);
  }
  return chain(layers);
}

// Draws an image (1 or 3, h, w) with values in [0, 1].
function gensrDraw(canvas, { x, shape: [c, h, w] }) {
  const data = new ImageData(w, h);
  for (let p = 0; p < h * w; p++) {
    for (let k = 0; k < 3; k++) data.data[4 * p + k] = Math.round(255 * x[c === 3 ? k * h * w + p : p]);
    data.data[4 * p + 3] = 255;
  }
  canvas.width = w;
  canvas.height = h;
  canvas.getContext("2d").putImageData(data, 0, 0);
}

// A canvas in the place of the still picture; the note on missing scripts goes.
function gensrStart(figure) {
  const still = figure.querySelector("img"), canvas = document.createElement("canvas");
  canvas.className = "gensr-made";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", still.alt);
  canvas.style.cssText = still.style.cssText;
  still.replaceWith(canvas);
  figure.querySelector(".gensr-off").remove();
  figure.querySelectorAll("[hidden]").forEach((e) => (e.hidden = false));
  figure.dataset.ready = "";
  // Arrows are for this view: they would also turn the pages of slides and of the site.
  figure.addEventListener("keydown", (event) => event.ctrlKey || event.altKey || event.metaKey || event.stopPropagation());
  return canvas;
}
