// A table of results: rows are added while they arrive, drawn 200 at a time as the reader scrolls, sorted by their heads.
// The arrow keys move among the cells, Enter opens one, Ctrl+C copies it.
//
//   const g = grid({ columns: [{name, type, number, json}], actions, onsort });
//   host.append(g.element); g.add(rows); g.done()
// Cells are texts or null.
import { copy, dialog, h, plural } from './dom.js';
import { quoteIdent, quoteLiteral } from './lexer.js';

const STEP = 200, LONG = 200;

const SHORT = { 'timestamp with time zone': 'timestamptz', 'timestamp without time zone': 'timestamp', 'time without time zone': 'time', 'time with time zone': 'timetz', 'character varying': 'varchar', 'double precision': 'float8' };

export function compare(a, b, number) {
  if (a === null || b === null) return (a === null) - (b === null); // NULL last, as PostgreSQL has it
  if (number) {
    const x = Number(a), y = Number(b);
    if (x !== y && !Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}

const csvCell = v => v === null ? '' : v === '' || /[",\r\n]|^\\\.$/.test(v) ? '"' + v.replaceAll('"', '""') + '"' : v;
// A number or JSON stands for itself, unless it would not be the same in JSON (NaN, 1e400 ...).
function jsonCell(v, c) {
  if (v === null) return 'null';
  if (c.number && /^-?(0|[1-9]\d*)(\.\d+)?$/.test(v)) return v;
  if (c.boolean) return v === 't' || v === 'true' ? 'true' : 'false';
  if (c.json) return v;
  return JSON.stringify(v);
}

export const as = {
  CSV: (columns, rows) => [columns.map(c => csvCell(c.name)), ...rows.map(r => r.map(csvCell))].map(r => r.join(',')).join('\n') + '\n',
  JSON: (columns, rows) => '[' + rows.map(r => '{' + r.map((v, i) => JSON.stringify(columns[i].name) + ':' + jsonCell(v, columns[i])).join(',') + '}').join(',\n') + ']\n',
  INSERT: (columns, rows, table) => rows.length === 0 ? '' : 'insert into ' + table + ' (' + columns.map(c => quoteIdent(c.name)).join(', ') + ') values\n' +
    rows.map(r => '  (' + r.map((v, i) => v === null ? 'null' : columns[i].number && /^-?[\d.]+$/.test(v) ? v : quoteLiteral(v)).join(', ') + ')').join(',\n') + ';\n',
};

function openCell(column, value) {
  let shown = value;
  if (value !== null && (column.json || /^[[{]/.test(value))) try { shown = JSON.stringify(JSON.parse(value), null, 2); } catch { /* as it is */ }
  // Large numbers inside JSON would be rounded by a round trip: then it stays as it is.
  if (value !== null && shown !== value && /\d{16}/.test(value)) shown = value;
  return dialog(column.name, [h('p', { class: 'soft' }, [column.type, value === null ? 'NULL' : plural(value.length, 'character')].filter(Boolean).join(', ')),
    h('pre', { tabindex: '0', class: 'cell' }, value === null ? 'NULL' : shown)], [['copy', 'Copy'], ['close', 'Close', 'main']], { wide: true })
    .then(done => done === 'copy' && copy(value ?? '', 'the cell'));
}

export function grid({ columns, actions, onsort, sorted, label = 'Rows' }) {
  const rows = [];
  let order = rows, drawn = 0, sort = { column: -1, down: false };
  const body = h('tbody');
  const heads = columns.map((c, i) => h('th', { scope: 'col', class: c.number ? 'number' : '', 'aria-sort': sorted?.column === c.name ? (sorted.down ? 'descending' : 'ascending') : undefined },
    h('button', { type: 'button', class: 'head', onclick: () => onsort ? onsort(c.name) : sortBy(i) }, c.name, c.type && h('small', { title: c.type }, SHORT[c.type] || c.type), h('span', { class: 'arrow', 'aria-hidden': 'true' }))));
  const table = h('table', { role: 'grid', 'aria-label': label }, h('thead', null, h('tr', null, h('th', { class: 'row-number' }, h('span', { class: 'away' }, 'Row')), heads, actions && h('th', { scope: 'col' }, h('span', { class: 'away actions' }, 'Actions')))), body);
  const more = h('div', { class: 'more' });
  const element = h('div', { class: 'grid', tabindex: '0', role: 'region', 'aria-label': label }, table, more);

  function cell(value, c) {
    const td = h('td', { tabindex: '-1', class: [value === null ? 'null' : '', c.number ? 'number' : ''].join(' ').trim() || undefined });
    // one line a row: what does not fit is opened by a click or Enter
    if (value === null) td.textContent = 'NULL';
    else if (value === '') td.append(h('span', { class: 'soft empty', 'aria-label': 'empty text' }));
    else td.textContent = value.slice(0, LONG).replace(/\r?\n/g, '↵') + (value.length > LONG ? '…' : '');
    return td;
  }

  function draw() {
    const part = document.createDocumentFragment();
    for (const row of order.slice(drawn, drawn + STEP)) {
      const tr = h('tr', null, h('td', { class: 'row-number' }, String(++drawn)), row.map((v, i) => cell(v, columns[i])));
      if (actions) tr.append(h('td', { class: 'row-actions', tabindex: '-1' }, actions(row)));
      part.append(tr);
    }
    body.append(part);
  }

  function fill() {
    while (drawn < order.length && (drawn === 0 || more.getBoundingClientRect().top < element.getBoundingClientRect().bottom + 400)) {
      const before = drawn;
      draw();
      if (drawn === before) break;
    }
  }

  function redraw() {
    body.replaceChildren();
    drawn = 0;
    fill();
  }

  function sortBy(i) {
    sort = { column: i, down: sort.column === i ? !sort.down : false };
    order = [...rows].sort((a, b) => compare(a[i], b[i], columns[i].number) * (sort.down && a[i] !== null && b[i] !== null ? -1 : 1));
    heads.forEach((th, k) => k === i ? th.setAttribute('aria-sort', sort.down ? 'descending' : 'ascending') : th.removeAttribute('aria-sort'));
    redraw();
  }

  const at = td => ({ td, row: order[td.parentNode.rowIndex - 1], column: td.cellIndex - 1 });
  const dataCell = e => {
    const td = e.target.closest('td');
    return td && td.cellIndex > 0 && td.cellIndex <= columns.length ? at(td) : null;
  };
  element.addEventListener('scroll', fill, { passive: true });
  element.addEventListener('dblclick', e => {
    const c = dataCell(e);
    if (c) openCell(columns[c.column], c.row[c.column]);
  });
  element.addEventListener('click', e => {
    const c = dataCell(e);
    if (c && !e.target.closest('button, a')) c.td.focus();
    if (c && (c.td.scrollWidth > c.td.clientWidth || (c.row[c.column] || '').length > LONG)) openCell(columns[c.column], c.row[c.column]).then(() => c.td.focus());
  });
  element.addEventListener('keydown', e => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[e.key];
    if (e.target === element && step) {
      const first = body.rows[0]?.cells[1];
      if (first) { e.preventDefault(); first.focus(); }
      return;
    }
    const c = dataCell(e);
    if (!c || e.target !== c.td) return;
    if (step) {
      fill();
      const tr = step[0] ? body.rows[c.td.parentNode.rowIndex - 1 + step[0]] : c.td.parentNode;
      const next = tr?.cells[c.td.cellIndex + step[1]];
      e.preventDefault();
      if (next && next.cellIndex > 0) next.focus();
    } else if (e.key === 'Enter') {
      e.preventDefault();
      openCell(columns[c.column], c.row[c.column]).then(() => c.td.focus());
    } else if (e.key === 'c' && (e.ctrlKey || e.metaKey) && !String(getSelection())) {
      copy(c.row[c.column] ?? '', 'the cell');
    }
  });

  return {
    element, columns, get rows() { return order; }, get count() { return rows.length; },
    add(some) {
      for (const r of some) rows.push(r);
      if (order !== rows) sortBy(sort.column);
      else fill();
    },
    fill,
  };
}
