(function(){
"use strict";
var hot=null;
function heat(a){
  if(a===hot)return;
  hot=a;
  document.body.classList.toggle("hot",a!==null);
  document.querySelectorAll(".series.on").forEach(function(g){g.classList.remove("on")});
  if(a!==null)document.querySelectorAll('.series[data-a="'+a+'"]').forEach(function(g){g.classList.add("on")});
}
document.addEventListener("pointerover",function(e){
  var at=e.target.closest(".series[data-a],.cast [data-a]");
  heat(at?at.dataset.a:null);
});
function open(){
  var at=location.hash.length>1&&document.getElementById(location.hash.slice(1));
  var box=at&&at.closest("details");
  if(box){box.open=true;at.scrollIntoView()}
}
addEventListener("hashchange",open);open();
document.querySelectorAll("table.sortable").forEach(function(table){
  table.classList.add("can-sort");
  var body=table.tBodies[table.tBodies.length-1],start=Array.from(body.rows),last=null;
  table.tHead.addEventListener("click",function(e){
    var th=e.target.closest("th");if(!th)return;
    var i=th.cellIndex,rows=start.slice();
    function value(row){
      var cell=row.cells[i];
      return cell&&cell.dataset.v!==undefined?parseFloat(cell.dataset.v):Infinity;
    }
    if(last===i||i===0){last=null}else{
      last=i;
      rows.sort(function(a,b){a=value(a);b=value(b);return a===b?0:a<b?-1:1});
      if(table.closest(".heat"))rows.reverse();
    }
    rows.forEach(function(row){body.appendChild(row)});
  });
});
})();
