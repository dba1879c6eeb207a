(function () {
  "use strict";
  var PAPER = 680; // Pixels that A4 and letter both have between the margins of the style sheet.
  var config = {
    responsive: true,
    displaylogo: false,
    scrollZoom: false,
    // Named one by one: the default set has a button that uploads the figure's data.
    modeBarButtons: [["toImage", {
      name: "toPng",
      title: "Download as PNG",
      icon: { width: 24, height: 24, path: "M4 3h16v18H4zM6 5v9l4-4 3 3 2-2 3 3V5zM6 19h12v-2l-3-3-2 2-3-3-4 4z" },
      click: function (node) { Plotly.downloadImage(node, { format: "png", scale: 2 }); }
    }, "zoom2d", "resetScale2d"]],
    plotlyServerURL: "",
    toImageButtonOptions: { format: "svg" }
  };
  function all(what, within) {
    return Array.prototype.slice.call((within || document).querySelectorAll(what));
  }
  function draw(node) {
    if (!window.Plotly || node.dataset.drawn || node.closest("details:not([open])")) return;
    node.dataset.drawn = "yes";
    var told = JSON.parse(document.getElementById(node.id + "-data").textContent);
    var finding = node.getAttribute("aria-label");
    node.removeAttribute("role");
    node.removeAttribute("aria-label");
    Plotly.newPlot(node, told.data, told.layout, config);
    // The drawing is the picture, so that its buttons are not part of a picture.
    function named() {
      all(".main-svg", node).forEach(function (svg, i) {
        if (i) { svg.setAttribute("aria-hidden", "true"); return; }
        svg.setAttribute("role", "img");
        svg.setAttribute("aria-label", finding);
      });
    }
    named();
    node.on("plotly_afterplot", named);
  }
  // What scrolls can be reached and scrolled with the keyboard; what does not is no stop on the way.
  function reachable() {
    all(".scroll, .glance, pre, .thought").forEach(function (box) {
      var over = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
      if (over) box.tabIndex = 0; else box.removeAttribute("tabindex");
    });
  }
  function drawAll(within) { all(".plot", within).forEach(draw); reachable(); }

  // On paper nothing can be unfolded, and a figure is as wide as the text.
  window.addEventListener("beforeprint", function () {
    all("details:not([open]):not(.kept)").forEach(function (fold) { fold.dataset.folded = "yes"; fold.open = true; });
    drawAll();
    all(".plot[data-drawn]").forEach(function (node) {
      Plotly.relayout(node, { width: PAPER, autosize: false });
    });
  });
  window.addEventListener("afterprint", function () {
    all(".plot[data-drawn]").forEach(function (node) {
      Plotly.relayout(node, { width: null, autosize: true });
    });
    all("details[data-folded]").forEach(function (fold) { fold.open = false; delete fold.dataset.folded; });
  });
  all("details").forEach(function (fold) {
    fold.addEventListener("toggle", function () { drawAll(fold); });
  });
  window.addEventListener("resize", reachable);
  reachable();

  if (typeof plotlyPacked === "undefined") return;
  function without() { document.documentElement.classList.add("no-figures"); }
  if (typeof DecompressionStream === "undefined") { without(); return; }
  var bytes = Uint8Array.from(atob(plotlyPacked), function (c) { return c.charCodeAt(0); });
  var stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  new Response(stream).text().then(function (code) {
    var script = document.createElement("script");
    script.textContent = code;
    document.head.appendChild(script);
    drawAll();
  }).catch(without);
})();
