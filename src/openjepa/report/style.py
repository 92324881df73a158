"""How the page looks: light, dark and printed, without anything from outside the file."""

CSS = """
:root{color-scheme:light dark;--bg:#faf9f6;--card:#fff;--ink:#1d1f23;--muted:#66645f;--rule:#e3e0d9;--soft:#f1efe9;
--c0:#2558c9;--c1:#c4561b;--c2:#17805a;--c3:#8b3db4;--good:#17805a;--calm:#7b7f87;--warn:#b26a00;--bad:#c0262d;--link:#2558c9}
@media(prefers-color-scheme:dark){:root{--bg:#131518;--card:#1b1e22;--ink:#eceae5;--muted:#a19f99;--rule:#32363c;--soft:#23272c;
--c0:#82a9ff;--c1:#ff9d5c;--c2:#62d2a2;--c3:#d19cf2;--good:#4cc38f;--calm:#8f949c;--warn:#f0a83c;--bad:#ff6b6f;--link:#82a9ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1120px;margin:0 auto;padding:40px 28px 80px}
h1{font-size:30px;line-height:1.2;margin:0 0 4px;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{font-size:20px;margin:52px 0 4px;letter-spacing:-.01em}
p{margin:6px 0}.lead{color:var(--muted);max-width:74ch;margin:0 0 14px}
code,pre{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--soft);border:1px solid var(--rule);border-radius:8px;padding:12px 14px;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}
a{color:var(--link)}nav{margin:14px 0 0;display:flex;flex-wrap:wrap;gap:4px 18px;font-size:14px}
.verdict{margin:22px 0 0;padding:16px 20px;border-radius:10px;background:var(--card);border:1px solid var(--rule);border-left:6px solid var(--k)}
.verdict b{font-size:18px;color:var(--k)}.verdict b::first-letter{text-transform:uppercase}.verdict p{margin:2px 0 0}
.good{--k:var(--good)}.calm{--k:var(--calm)}.warn{--k:var(--warn)}.bad{--k:var(--bad)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1px;background:var(--rule);border:1px solid var(--rule);border-radius:10px;overflow:hidden;margin:16px 0 0}
dl>div{background:var(--card);padding:10px 14px}dt{color:var(--muted);font-size:12.5px}dd{margin:1px 0 0;font-size:17px;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
dd small{font-size:12.5px;color:var(--muted)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:16px}
.chart{margin:0;background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:12px 14px 8px;break-inside:avoid;display:flex;flex-direction:column}
.chart>svg{display:block;width:100%;height:auto;margin-top:auto;padding-top:4px}
figcaption b{font-weight:600}.legend{display:flex;flex-wrap:wrap;gap:0 14px;font-size:12.5px;color:var(--muted);font-variant-numeric:tabular-nums}
.legend b{color:var(--ink)}.was{opacity:.9}.swatch{width:18px;height:6px;vertical-align:middle;margin-right:4px}
.note{font-size:12.5px;color:var(--muted);margin:2px 0 4px}
svg text{font-size:10.5px;fill:var(--muted);font-family:inherit;font-variant-numeric:tabular-nums}
.grid{stroke:var(--rule);stroke-width:1}.line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1);stroke-dasharray:6 3}.c2{stroke:var(--c2);stroke-dasharray:2 3}.c3{stroke:var(--c3);stroke-dasharray:8 3 2 3}
.ref{stroke-width:1.1;opacity:.65;stroke-dasharray:1.5 3.5!important}.dot{stroke:none}
.dot.c0{fill:var(--c0)}.dot.c1{fill:var(--c1)}.dot.c2{fill:var(--c2)}.dot.c3{fill:var(--c3)}
.timeline{display:block;width:100%;height:auto;margin-top:10px}.timeline rect{fill:var(--k)}.timeline g text{fill:var(--card);font-size:13px;font-weight:600}
.timeline .tick{font-size:12px}
.stretches{list-style:none;padding:0;margin:4px 0 0;display:flex;flex-wrap:wrap;gap:2px 20px;font-size:13.5px;font-variant-numeric:tabular-nums}
.stretches i{display:inline-block;width:10px;height:10px;border-radius:3px;background:var(--k);margin-right:6px}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;background:var(--card);border:1px solid var(--rule);border-radius:10px;font-size:14px;margin:10px 0}
caption{text-align:left;color:var(--muted);font-size:13px;padding:0 0 6px}th,td{text-align:left;padding:7px 12px;border-bottom:1px solid var(--rule);vertical-align:top;overflow-wrap:anywhere}
th{font-weight:600;font-size:13px;color:var(--muted)}tbody tr:last-child td{border-bottom:0}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.score{font-size:16px;font-weight:600;font-variant-numeric:tabular-nums}.interval{display:block;width:100%;max-width:170px;height:auto;margin-top:2px;overflow:visible}
.interval path{stroke-width:1.2;stroke:var(--rule);fill:none}.interval .tick{stroke:var(--muted)}.interval .span{stroke-width:3;stroke:var(--calm)}.interval circle{fill:var(--calm)}
.own .span{stroke:var(--c0)}.own circle{fill:var(--c0)}.gains{margin:0 0 8px;padding-left:20px;font-size:13.5px;font-variant-numeric:tabular-nums}
small{color:var(--muted)}
.gallery{display:grid;gap:10px 12px;align-items:start}.gallery>*{min-width:0}.gallery .head{font-size:13px;color:var(--muted);align-self:end}
img{display:block;width:100%;height:auto;aspect-ratio:1;object-fit:contain;image-rendering:pixelated;border-radius:5px;background:var(--soft)}
img.wide{aspect-ratio:auto}picture img{max-width:560px}img.smooth{image-rendering:auto}.same{outline:3px solid var(--good);outline-offset:-3px}.other{outline:2px solid transparent}
.cell{font-size:12px;color:var(--muted);line-height:1.35;overflow-wrap:anywhere}
details{margin:10px 0}summary{cursor:pointer;color:var(--link)}
.missing{color:var(--muted);background:var(--soft);border-radius:8px;padding:10px 14px}
footer{margin-top:60px;color:var(--muted);font-size:13px;border-top:1px solid var(--rule);padding-top:14px}
@media(max-width:640px){main{padding:24px 14px 60px}}
@media print{:root{--bg:#fff;--card:#fff;--ink:#000;--muted:#555;--rule:#ccc;--soft:#f5f5f5;--c0:#2558c9;--c1:#c4561b;--c2:#17805a;--c3:#8b3db4;
--good:#17805a;--calm:#7b7f87;--warn:#b26a00;--bad:#c0262d}body{font-size:12px}main{max-width:none;padding:0}nav{display:none}
h2{break-after:avoid;margin-top:28px}.chart,.gallery,tr,.verdict{break-inside:avoid}.charts{grid-template-columns:repeat(2,1fr)}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
