// Runs the networks beside the page, so that the page never freezes. Messages in:
//   {kind: "load", base}                                 base: the folder of card.json and the models
//   {kind: "run", pixels, width, height}                 pixels: RGBA, one byte a value
// Messages out:
//   {kind: "ready", card}                                the card, read from card.json
//   {kind: "tile", x, y, width, height, network, bicubic, done, total}   RGBA of one enlarged tile
//   {kind: "done", seconds}      {kind: "error", text}
// One thread: more would need headers that static hosts do not send.

const CORE = 96; // pixels of the input enlarged at a time
const HALO = 24; // pixels read around them; the network of 8 blocks sees 19 to each side, so that tiles join without a seam

let scale, network, bicubic, Tensor;

async function get(file) {
  const answer = await fetch(file.url, file.integrity ? { integrity: file.integrity } : {}).catch((e) => { throw new Error(`${file.url} cannot be loaded (${e.message})`); });
  if (!answer.ok) throw new Error(`${file.url} is missing (${answer.status})`);
  return answer.arrayBuffer();
}

async function load(base) {
  const text = (url) => get({ url }).then((b) => JSON.parse(new TextDecoder().decode(b)));
  const [card, assets] = await Promise.all([text(new URL("card.json", base)), text(new URL("assets.json", import.meta.url))]);
  const at = (file) => ({ ...file, url: new URL(file.url, import.meta.url) });
  const [script, wasm, net, bic] = await Promise.all([
    get(at(assets.script)), get(at(assets.wasm)), get({ url: new URL(card.network, base) }), get({ url: new URL(card.bicubic, base) }),
  ]);
  // The script was fetched rather than imported, so that the browser checks its hash where it comes from another host.
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const ort = await import(url);
  URL.revokeObjectURL(url);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  Tensor = ort.Tensor;
  scale = card.scale;
  network = await ort.InferenceSession.create(net);
  bicubic = await ort.InferenceSession.create(bic);
  return card;
}

async function run({ pixels, width, height }) {
  const started = performance.now();
  const columns = Math.ceil(width / CORE), rows = Math.ceil(height / CORE);
  let done = 0;
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < columns; i++) {
      const core = box(i * CORE, j * CORE, CORE, 0, width, height), read = box(i * CORE, j * CORE, CORE, HALO, width, height);
      const y = toTensor(pixels, width, read);
      const cut = (x) => toPixels(x.data, read.width * scale, read.height * scale, (core.x - read.x) * scale, (core.y - read.y) * scale, core.width * scale, core.height * scale);
      const big = cut((await bicubic.run({ y })).x), sharp = cut((await network.run({ y })).x);
      done += 1;
      postMessage(
        { kind: "tile", x: core.x * scale, y: core.y * scale, width: core.width * scale, height: core.height * scale, network: sharp, bicubic: big, done, total: rows * columns },
        [sharp.buffer, big.buffer],
      );
    }
  }
  return (performance.now() - started) / 1000;
}

function box(x, y, side, halo, width, height) {
  const x0 = Math.max(0, x - halo), y0 = Math.max(0, y - halo);
  return { x: x0, y: y0, width: Math.min(width, x + side + halo) - x0, height: Math.min(height, y + side + halo) - y0 };
}

function toTensor(pixels, stride, b) {
  const n = b.width * b.height, data = new Float32Array(3 * n); // (1, 3, h, w) in [0, 1]
  for (let v = 0, k = 0; v < b.height; v++) {
    for (let u = 0, p = 4 * ((b.y + v) * stride + b.x); u < b.width; u++, k++, p += 4) {
      data[k] = pixels[p] / 255;
      data[n + k] = pixels[p + 1] / 255;
      data[2 * n + k] = pixels[p + 2] / 255;
    }
  }
  return new Tensor("float32", data, [1, 3, b.height, b.width]);
}

function toPixels(x, width, height, left, top, w, h) {
  const n = width * height, out = new Uint8ClampedArray(4 * w * h); // clamps to 0..255 and rounds
  for (let v = 0, q = 0; v < h; v++) {
    for (let u = 0, k = (top + v) * width + left; u < w; u++, k++, q += 4) {
      out[q] = 255 * x[k];
      out[q + 1] = 255 * x[n + k];
      out[q + 2] = 255 * x[2 * n + k];
      out[q + 3] = 255;
    }
  }
  return out;
}

onmessage = async ({ data }) => {
  try {
    if (data.kind === "load") postMessage({ kind: "ready", card: await load(data.base) });
    else postMessage({ kind: "done", seconds: await run(data) });
  } catch (e) {
    postMessage({ kind: "error", text: e.message });
  }
};
