/** One style sheet for light and dark screens and for paper. */
export const STYLE = `
:root { color-scheme: light dark; --page: #f7f7f5; --card: #fff; --ink: #1c2024; --soft: #5d656d; --line: #e2e4e1;
  --good: #1a7f4b; --open: #8a939b; --bad: #c2332b; --warn: #b26a00; --window: #d8ecdf; --accent: #2b5fa8; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1d2125; --ink: #e8eaec; --soft: #9aa4ad; --line: #31373d;
  --good: #4cc38a; --open: #77818a; --bad: #ff6b61; --warn: #f0a840; --window: #1f3b2e; --accent: #7fb2f0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 64px; }
header h1 { margin: 0; font-size: 28px; letter-spacing: -0.01em; }
header p, .note { color: var(--soft); margin: 4px 0 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 24px 28px; margin-top: 24px; }
h2 { margin: 0; font-size: 21px; } h3 { margin: 28px 0 8px; font-size: 15px; font-weight: 600; }
.what { color: var(--soft); margin: 2px 0 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(176px, 1fr)); gap: 12px; margin: 20px 0 8px; }
.tile { border: 1px solid var(--line); border-left: 4px solid var(--open); border-radius: 10px; padding: 10px 14px; }
.tile.good { border-left-color: var(--good); } .tile.warn { border-left-color: var(--warn); } .tile.bad { border-left-color: var(--bad); }
.tile span { display: block; color: var(--soft); font-size: 12.5px; } .tile b { font-size: 20px; font-weight: 650; } .tile small { display: block; color: var(--soft); }
figure { margin: 20px 0 0; } figcaption { font-weight: 600; } figcaption span { color: var(--soft); font-weight: 400; margin-left: 6px; }
svg { width: 100%; height: auto; display: block; }
svg text { font-size: 12px; fill: var(--soft); } .now line { stroke: var(--accent); stroke-width: 2; } .now text { fill: var(--accent); }
.window { fill: var(--window); } .open { fill: var(--bad); opacity: .16; } .grid { stroke: var(--line); }
.mark circle { fill: var(--card); stroke: var(--open); stroke-width: 2.5; } .mark.good circle { fill: var(--good); stroke: var(--good); }
.mark.damaged path { stroke: var(--bad); stroke-width: 3.5; } .mark.goes circle { fill: var(--card); stroke-width: 1.5; } .mark.goes path { opacity: .6; }
.drill path { fill: var(--warn); } .drill.OK path { fill: var(--good); } .drill.FAILED path { fill: var(--bad); }
.bar { fill: var(--open); } .bar.good { fill: var(--good); } .bar.damaged { fill: var(--bad); }
.legend { display: flex; flex-wrap: wrap; gap: 6px 20px; color: var(--soft); font-size: 13px; margin-top: 6px; } .legend svg { display: inline-block; width: 14px; height: 14px; vertical-align: -2px; margin-right: 5px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 500; } th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; } td.id { font-family: ui-monospace, "Liberation Mono", Menlo, monospace; font-size: 12.5px; white-space: nowrap; }
.OK, .good-text { color: var(--good); } .FAILED, .damaged-text { color: var(--bad); } .INCONCLUSIVE { color: var(--warn); } .delete { color: var(--bad); } .mark-fate, .wait { color: var(--warn); }
.verdict { font-weight: 600; } footer { color: var(--soft); margin-top: 28px; font-size: 13px; }
@media print { :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; --window: #dfeee5; } body { font-size: 11px; } main { max-width: none; padding: 0; }
  section { border: 0; padding: 0; margin-top: 18px; } section + section { break-before: page; } tr, figure, .tiles { break-inside: avoid; } .scroll { overflow: visible; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
`;
