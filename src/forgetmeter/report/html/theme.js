"use strict";
// Before anything is drawn, so that a chosen theme does not flash.
(function () {
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("forgetmeter-theme") || "auto";
  } catch (error) {
    // A page opened as a file may have no storage; the theme is then chosen anew each time.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
