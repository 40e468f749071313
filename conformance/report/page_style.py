"""How the page looks, in light and in dark. A level is told by its sign as well as by its colour."""

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light dark;--line:#8886;--good:#2e7d3233;--near:#f9a82555;--equal:#1976d244;
--bad:#d32f2f88;--error:#8e24aa88}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:100rem;padding:0 1rem}
h2{margin:2rem 0 .6rem}
.wide{overflow-x:auto;max-width:100%}
table{border-collapse:separate;border-spacing:0;font-size:12.5px;font-variant-numeric:tabular-nums}
th,td{border:solid var(--line);border-width:0 1px 1px 0;padding:.15rem .4rem;
text-align:right;white-space:nowrap}
thead tr:first-child th,table.text tr:first-child th{border-top-width:1px}
thead th{text-align:center;font-weight:600}
tbody th{font-weight:400}
tbody th,thead tr:first-child th:first-child{text-align:left;position:sticky;left:0;z-index:1;
background:Canvas;border-left-width:1px}
table.text td,table.text th{text-align:left}table.text tr>:first-child{border-left-width:1px}
td a{color:inherit}
.identical,.close{background:var(--good)}.near_tie{background:var(--near)}
.equivalent{background:var(--equal)}.different{background:var(--bad)}.error{background:var(--error)}
.hang{background:CanvasText;color:Canvas}.different,.error,.hang{font-weight:600}
td.not_run{color:GrayText;text-align:center}
.badge{padding:.05rem .45rem;border-radius:.6rem;border:1px solid var(--line);white-space:nowrap;
font-size:13px}
.legend{list-style:none;padding:0;display:grid;
grid-template-columns:repeat(auto-fill,minmax(24rem,1fr));gap:.2rem}
details{border-top:1px solid var(--line);padding:.4rem 0}summary{cursor:pointer}
:target{outline:2px solid Highlight;outline-offset:2px}
.case{display:flex;gap:1rem;margin:.6rem 0}.case p{margin:0 0 .3rem}.case>div{min-width:0}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font-size:12.5px}
svg{width:15rem;height:15rem;border:1px solid var(--line);flex:none}svg.small{width:8rem;height:8rem}
.scene circle{fill:GrayText}.scene rect{fill:none;stroke-width:.9}
.scene text{font:5px sans-serif;stroke:none;fill:CanvasText}
.inputs{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;width:15.2rem}
figcaption{font-size:13px;overflow-wrap:anywhere}
@media(max-width:40rem){.case{flex-wrap:wrap}}
"""
