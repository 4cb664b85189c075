// The SQL tab: editor, runs, results.
import { auth, config, sql, transaction } from './api.js';
import { catalog, JSONS, NUMBERS } from './catalog.js';
import { $, copy, dialog, h, ms, plural, problem, status, stored } from './dom.js';
import { editor, tablesIn } from './editor.js';
import { as, grid } from './grid.js';
import { quoteIdent, statements } from './lexer.js';
import { planTree } from './plan.js';

const KEPT = 200; // statements in the history
let ed, running = null;

const columnOf = f => ({ name: f.name, type: catalog.typeName(f.dataTypeID), number: NUMBERS.has(f.dataTypeID), json: JSONS.has(f.dataTypeID), boolean: f.dataTypeID === 16 });

// What is to be run: the selection, the statement at the caret, or everything; offsets are those of the whole text.
function chosen(onlyOne) {
  const text = ed.value, sel = ed.selection;
  if (sel) return statements(text.slice(sel.from, sel.to)).map(s => ({ text: s.text, from: s.from + sel.from, to: s.to + sel.from }));
  const all = statements(text);
  if (!onlyOne || all.length < 2) return all;
  const one = all.find(s => ed.at <= s.to + 1) || all.at(-1);
  return one ? [one] : [];
}

// BEGIN ... COMMIT in the text means what the box means.
function unwrap(list) {
  const first = list[0]?.text.toLowerCase(), last = list.at(-1)?.text.toLowerCase();
  if (list.length > 1 && /^(begin|start\s+transaction)$/.test(first) && /^(commit|end)(\s+(work|transaction))?$/.test(last)) return { list: list.slice(1, -1), together: true };
  return { list, together: $('together').checked };
}

function remember(text, outcome) {
  const past = stored.get('history', []).filter(e => e.sql !== text);
  stored.set('history', [{ sql: text.slice(0, 20000), at: Date.now(), ...outcome }, ...past].slice(0, KEPT));
}

function summary(result, took, first) {
  const t = result.timing || {};
  return [result.fields?.length ? plural(Number(result.rowCount ?? result.shown), 'row') : result.rowCount !== null && result.rowCount !== undefined ? plural(Number(result.rowCount), 'row') : '',
    took !== undefined && ms(took), first !== undefined && took - first > 20 && 'first rows after ' + ms(first),
    t.db !== undefined && `queue ${ms(t.queue)}, connect ${ms(t.connect)}, database ${ms(t.db)}`].filter(Boolean).join(' · ');
}

// One statement's place among the results.
function card(statement) {
  const title = h('h2', { class: 'small' }, '…'), about = h('span', { class: 'soft about' }), tools = h('span', { class: 'row tools' }), body = h('div');
  const element = h('section', { class: 'card', 'aria-busy': 'true' }, h('div', { class: 'card-head' }, title, about, tools),
    h('code', { class: 'statement', title: statement.text.slice(0, 2000) }, statement.text.replace(/\s+/g, ' ').slice(0, 300)), body);
  $('sql-results').append(element);
  const note = text => body.append(h('p', { class: 'note' }, text));
  let g = null;

  function copies() {
    const table = tablesIn(statement.text)[0];
    const name = table ? (table.schema ? quoteIdent(table.schema) + '.' : '') + quoteIdent(table.name) : 'results';
    tools.append(h('span', { class: 'soft' }, 'Copy as'), ...Object.keys(as).map(form =>
      h('button', { type: 'button', class: 'small', onclick: () => copy(as[form](g.columns, g.rows, name), plural(g.count, 'row') + ' as ' + form) }, form)));
  }
  return {
    fields(fields) {
      title.textContent = 'Rows';
      if (!fields.length) return;
      g = grid({ columns: fields.map(columnOf), label: 'Rows of: ' + statement.text.slice(0, 60) });
      body.append(g.element);
    },
    rows(some) {
      g?.add(some);
      about.textContent = plural(g ? g.count : 0, 'row') + ' so far';
    },
    done(result, took, first) {
      element.removeAttribute('aria-busy');
      title.textContent = result.command || 'Done';
      about.textContent = summary({ ...result, shown: g?.count ?? 0 }, took, first);
      if (g) copies();
      if (g && !g.count) g.element.append(h('p', { class: 'soft none' }, 'No rows.'));
      if (result.truncated) note(`The first ${plural(g.count, 'row')}; more were left out. Raise “Rows at most”, or copy all of them by /copy.`);
      for (const n of result.notices || []) note([n.severity, n.message, n.detail, n.hint].filter(Boolean).join('  '));
    },
    failed(e, took) {
      element.removeAttribute('aria-busy');
      title.textContent = e.name === 'AbortError' ? 'Cancelled' : 'Error';
      about.textContent = took === undefined ? '' : ms(took);
      if (e.name === 'AbortError') note('Cancelled in PostgreSQL, too' + (g ? `; ${plural(g.count, 'row')} had come.` : '.'));
      else body.prepend(problem(e));
    },
    skipped(why) {
      element.removeAttribute('aria-busy');
      title.textContent = 'Not run';
      about.textContent = why;
    },
    show(node) { body.append(node); },
    title(text) { title.textContent = text; },
  };
}

// PostgreSQL counts characters from 1, JavaScript UTF-16 units from 0.
const offsetOf = (text, position) => [...text].slice(0, Number(position) - 1).join('').length;

function showPosition(statement, e) {
  if (!e.position) return;
  const at = statement.from + offsetOf(statement.text, e.position);
  ed.mark(at);
  const before = ed.value.slice(0, at), line = before.split('\n').length;
  e.hint ??= `At line ${line}, character ${at - before.lastIndexOf('\n')}.`;
}

function busy(abort) {
  running = abort;
  $('run').disabled = $('explain').disabled = !!abort;
  $('cancel').hidden = !abort;
  if (!abort) return;
  const began = performance.now();
  const tick = () => {
    if (running !== abort) return;
    status('Running: ' + ms(performance.now() - began));
    setTimeout(tick, 200);
  };
  setTimeout(tick, 300);
}

const limit = () => Number($('rows-max').value);

async function runSeparately(list, abort) {
  for (const [i, statement] of list.entries()) {
    const c = card(statement), began = performance.now();
    let first;
    try {
      const result = await sql(statement.text, { signal: abort.signal, limit: limit(), on: {
        fields: c.fields,
        rows(some) { first ??= performance.now() - began; c.rows(some); },
      } });
      c.done(result, performance.now() - began, first);
    } catch (e) {
      showPosition(statement, e);
      c.failed(e, performance.now() - began);
      for (const rest of list.slice(i + 1)) card(rest).skipped('an earlier statement failed');
      throw e;
    }
  }
}

async function runTogether(list, abort) {
  const cards = list.map(card), began = performance.now();
  try {
    const { results, timing } = await transaction(list.map(s => s.text), { signal: abort.signal, limit: limit() });
    const took = performance.now() - began;
    results.forEach((r, i) => {
      cards[i].fields(r.fields);
      if (r.fields.length) cards[i].rows(r.rows);
      cards[i].done({ ...r, timing: i === 0 ? timing : undefined }, i === 0 ? took : undefined);
    });
    $('sql-results').prepend(h('p', { class: 'note good' }, `Committed as one transaction in ${ms(took)}.`));
  } catch (e) {
    const at = e.queryIndex ?? (list.length === 1 ? 0 : -1);
    if (at >= 0) showPosition(list[at], e);
    cards.forEach((c, i) => i === at || (at < 0 && i === 0) ? c.failed(e, performance.now() - began) : c.skipped('the whole transaction was rolled back'));
    throw e;
  }
}

async function run(onlyOne) {
  const { list, together } = unwrap(chosen(onlyOne));
  if (running || !list.length) return;
  const abort = new AbortController(), text = ed.selection ? ed.value.slice(ed.selection.from, ed.selection.to) : onlyOne ? list[0].text : ed.value;
  const began = performance.now();
  busy(abort);
  $('sql-results').replaceChildren();
  $('sql-results').classList.toggle('one', list.length === 1);
  try {
    await (together ? runTogether : runSeparately)(list, abort);
    status(`${plural(list.length, 'statement')} in ${ms(performance.now() - began)}.`);
    remember(text, { ms: Math.round(performance.now() - began) });
  } catch (e) {
    status(e.name === 'AbortError' ? 'Cancelled.' : 'Failed: ' + e.message);
    remember(text, { error: e.name === 'AbortError' ? 'cancelled' : e.message });
    if (e.status === 401) document.dispatchEvent(new CustomEvent('sign-in', { detail: 'user' }));
  }
  busy(null);
}

// What only reads is run to measure it (in a read-only transaction); what writes is planned alone.
async function explain() {
  const [statement] = chosen(true);
  if (running || !statement) return;
  const abort = new AbortController();
  const reads = /^(select|with|values|table)\b/i.test(statement.text.replace(/^\(+/, ''));
  const c = card({ ...statement, text: statement.text });
  $('sql-results').replaceChildren($('sql-results').lastChild);
  busy(abort);
  const words = reads ? 'explain (analyze, buffers, format json) ' : 'explain (format json) ';
  try {
    const result = await sql(words + statement.text, { signal: abort.signal, readOnly: reads });
    c.done({ command: reads ? 'EXPLAIN ANALYZE' : 'EXPLAIN', timing: result.timing });
    c.show(planTree(JSON.parse(result.rows[0][0])));
    if (!reads) c.show(h('p', { class: 'note' }, 'Planned, not run: this statement writes.'));
    status('Explained.');
  } catch (e) {
    if (e.position) e.position = Number(e.position) - words.length;
    showPosition(statement, e);
    c.failed(e);
    status('Failed: ' + e.message);
  }
  busy(null);
}

async function openHistory() {
  const past = stored.get('history', []);
  const search = h('input', { type: 'search', 'aria-label': 'Search the history', placeholder: 'Search' });
  const list = h('ul', { class: 'history' });
  let picked = null;
  const show = () => list.replaceChildren(...past.filter(e => e.sql.toLowerCase().includes(search.value.toLowerCase())).map(e =>
    h('li', null, h('button', { value: 'pick', class: 'plain', onclick: () => { picked = e.sql; } }, h('code', null, e.sql.replace(/\s+/g, ' ').slice(0, 200)),
      h('span', { class: 'soft' }, new Date(e.at).toLocaleString() + ' · ', e.error ? h('span', { class: 'bad' }, e.error.slice(0, 80)) : ms(e.ms))))));
  search.oninput = show;
  show();
  const answer = await dialog('History', [h('p', { class: 'soft' }, 'Kept in this browser alone.'), search, past.length ? list : h('p', null, 'Nothing was run yet.')],
    [['clear', 'Forget all'], ['close', 'Close', 'main']], { wide: true });
  if (answer === 'clear') stored.set('history', []);
  if (answer === 'pick' && picked !== null) {
    ed.value = picked;
    ed.focus();
  }
}

export async function loadCatalog() {
  if (config.sql === 'off' || (config.sql === 'login' && !auth.user)) return;
  try {
    await catalog.load();
  } catch { /* completion knows keywords alone then; a run will say why */ }
}

const START = `-- Ctrl+Enter runs everything, or what is selected; Ctrl+Shift+Enter the statement at the cursor.
select version(), current_user, now();
`;

export function start() {
  ed = editor($('editor'), {
    label: 'SQL', value: stored.get('sql', START), catalog,
    onchange: text => stored.set('sql', text.slice(0, 500000)),
    onrun: onlyOne => run(onlyOne),
  });
  $('run').onclick = () => run(false);
  $('explain').onclick = explain;
  $('cancel').onclick = () => running?.abort();
  $('history').onclick = openHistory;
  document.addEventListener('selectionchange', () => {
    if (document.activeElement === ed.element) $('run').firstChild.textContent = ed.selection ? 'Run selection' : 'Run';
  });
  document.addEventListener('auth', loadCatalog);
  loadCatalog();
}

export function show() {
  const off = config.sql === 'off';
  $('sql-off').hidden = !off;
  $('sql-on').hidden = off;
  $('sql-login').hidden = !(config.sql === 'login' && !auth.user);
}
