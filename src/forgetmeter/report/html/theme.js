"use strict";
// Runs before the page is drawn, to avoid a flash of the wrong theme.
(function () {
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("forgetmeter-theme") || "auto";
  } catch (error) {
    // A page opened as a file may have no storage; the choice is then not remembered.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
