// The first script of the demo. It is a classic script, because a page opened straight from the disk may not load modules, and then it says so.
(() => {
  const root = document.getElementById("sr-demo");
  const here = document.currentScript.src;
  if (!root) return;
  const say = (text) => {
    const p = document.createElement("p");
    p.setAttribute("role", "status");
    p.textContent = text;
    root.replaceChildren(p);
  };
  if (location.protocol === "file:") {
    say("This demo runs a network in your browser, and browsers allow that only on pages that a web server hands out. " +
      "Run  python -m http.server  in the folder of the site and open  http://localhost:8000.");
    return;
  }
  import(new URL("demo.js", here)).then((m) => m.start(root), (e) => say(`The demo could not start: ${e.message}`));
})();
