// The two themes each bring a button for a sidebar. Only the first of a page, which stays hidden, opens it where the window is narrow: hand it the clicks.
document.addEventListener("DOMContentLoaded", () => {
  for (const side of ["primary", "secondary"]) {
    const [first, ...seen] = document.querySelectorAll(`.${side}-toggle`);
    const bar = document.getElementById(`pst-${side}-sidebar`);
    if (!bar) continue;
    for (const button of seen) {
      button.addEventListener("click", () => {
        const box = bar.getBoundingClientRect();
        if (bar.style.display === "none") bar.style.display = "";
        else if (box.right <= 0 || box.left >= window.innerWidth || getComputedStyle(bar).visibility === "hidden") first.click();
        else bar.style.display = "none"; // it stands beside the text: make room for the text
      });
    }
  }
});
