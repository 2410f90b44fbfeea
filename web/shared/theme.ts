/**
 * Applies the visitor's choice of light or dark before the first paint. Bundled as a classic script of its own.
 *
 * @module
 */
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is denied: the system's choice holds.
}
