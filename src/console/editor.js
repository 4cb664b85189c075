// The SQL editor: a textarea over a coloured copy of its text, and a list of completions.
//
// Weighed against Debian's CodeMirror (libjs-codemirror 5.65): 390 KB of script for what is 300 lines here, and its
// styles and its hidden textarea fight a strict CSP and screen readers. A textarea is what browsers, input methods,
// spell checkers and assistive technology know; undo is the browser's own.
import { h } from './dom.js';
import { quoteIdent, statements, tokens } from './lexer.js';

const COLOURED = 200000; // characters; longer texts are shown without colours

// What stands in front of the caret: {from, word, path: ['schema' or 'alias']}
export function wordBefore(text, at) {
  const m = /(?:((?:"[^"]*"|[\w$\u0080-\uffff]+))\.)?((?:"[^"]*)|[\w$\u0080-\uffff]*)$/.exec(text.slice(0, at));
  return { from: at - m[2].length, word: m[2].replace(/^"/, ''), path: m[1] && (m[1].startsWith('"') ? m[1].slice(1, -1) : m[1].toLowerCase()) };
}

const JOINS = new Set(['from', 'join', 'update', 'into', 'using', 'table', 'truncate', 'analyze', 'vacuum']);
const plain = t => t.type === 'quoted' ? t.text.slice(1, -1).replaceAll('""', '"') : t.text.toLowerCase();

// Tables that a statement names: [{schema, name, alias}].
export function tablesIn(text) {
  const list = tokens(text).filter(t => t.type !== 'space' && t.type !== 'comment');
  const isName = t => t && (t.type === 'word' || t.type === 'quoted');
  const out = [];
  for (let i = 0; i < list.length; i++) {
    const word = list[i].text.toLowerCase();
    if (!(list[i].type === 'keyword' && JOINS.has(word)) && !(list[i].text === ',' && out.length && out.at(-1).end === i)) continue;
    let k = i + 1;
    while (list[k] && ['only', 'lateral'].includes(list[k].text.toLowerCase())) k++;
    if (!isName(list[k])) continue;
    const table = { schema: '', name: plain(list[k++]), alias: '' };
    if (list[k]?.text === '.' && isName(list[k + 1])) {
      table.schema = table.name;
      table.name = plain(list[k + 1]);
      k += 2;
    }
    if (list[k]?.text.toLowerCase() === 'as') k++;
    if (isName(list[k])) table.alias = plain(list[k++]);
    table.end = k;
    out.push(table);
  }
  return out;
}

// Completions of the word before the caret, best first: {label, insert, kind, detail}.
export function completions(text, at, catalog) {
  const { word, path } = wordBefore(text, at);
  const statement = statements(text).find(s => s.from <= at && at <= s.to + 1) || { text: '', from: at };
  const tables = tablesIn(statement.text);
  const before = tokens(text.slice(statement.from, at - word.length)).filter(t => t.type !== 'space' && t.type !== 'comment');
  const last = before.at(-1)?.text.toLowerCase(), wantsTable = !path && (JOINS.has(last) || last === 'only');
  const all = [];
  const add = (label, kind, detail, rank, insert) => all.push({ label, kind, detail, rank, insert: insert ?? quoteIdent(label) });
  const columnsOf = (t, rank) => {
    for (const [name, type] of catalog.columns(t.schema, t.name)) add(name, 'column', type, rank);
  };
  if (path) {
    const named = tables.filter(t => t.alias === path || (!t.alias && t.name === path) || t.name === path);
    if (named.length) columnsOf(named[0], 0);
    else if (catalog.columns('', path).length) columnsOf({ schema: '', name: path }, 0);
    for (const t of catalog.tables) if (t.schema === path) add(t.name, t.kind, '', 1);
    for (const f of catalog.functions) if (f.schema === path) add(f.name, 'function', '', 2, quoteIdent(f.name) + '(');
  } else {
    if (!wantsTable) for (const t of tables) columnsOf(t, 0);
    if (!wantsTable) for (const t of tables) if (t.alias) add(t.alias, 'alias', t.name, 1);
    for (const t of catalog.tables)
      if (t.visible) add(t.name, t.kind, t.schema, wantsTable ? 0 : t.system ? 6 : 3);
      else if (wantsTable) add(t.schema + '.' + t.name, t.kind, '', 4, quoteIdent(t.schema) + '.' + quoteIdent(t.name));
    for (const s of catalog.schemas) add(s, 'schema', '', wantsTable ? 3 : 5);
    if (!wantsTable && word.length) {
      for (const k of catalog.keywords) add(k, 'keyword', '', 2, k);
      for (const f of catalog.functions) if (f.visible) add(f.name, 'function', f.system ? '' : f.schema, f.system ? 5 : 3, quoteIdent(f.name) + '(');
    }
  }
  const wanted = word.toLowerCase(), seen = new Set();
  const score = c => c.rank + (c.label.toLowerCase().startsWith(wanted) ? 0 : 10);
  return all.filter(c => {
    const key = c.kind + ' ' + c.label;
    return c.label.toLowerCase().includes(wanted) && c.label !== word && !seen.has(key) && seen.add(key);
  }).sort((a, b) => score(a) - score(b) || a.label.length - b.label.length || (a.label < b.label ? -1 : 1)).slice(0, 50);
}

// editor(host, {label, value, catalog, onchange, onrun}): the object below.
export function editor(host, options) {
  const area = h('textarea', { id: 'query', class: 'ed-text', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', 'aria-label': options.label,
    'aria-describedby': 'query-help', 'aria-autocomplete': 'list', 'aria-haspopup': 'listbox', 'aria-controls': 'completions' });
  const copy = h('pre', { class: 'ed-copy', 'aria-hidden': 'true' });
  const list = h('ul', { id: 'completions', class: 'completions', role: 'listbox', 'aria-label': 'Completions', hidden: true });
  const box = h('div', { class: 'editor' }, h('div', { class: 'ed-stack' }, copy, area));
  host.append(box, list);
  area.value = options.value || '';
  let mark = null, found = [], chosen = 0;

  function paint() {
    const text = area.value;
    const span = (from, to, type) => {
      if (from >= to) return null;
      return type === 'space' || type === 'word' || type === 'sign' || !type ? document.createTextNode(text.slice(from, to)) : h('span', { class: 't-' + type }, text.slice(from, to));
    };
    const parts = text.length > COLOURED ? [{ type: '', from: 0, to: text.length }] : tokens(text);
    const nodes = [];
    for (const t of parts) {
      if (!mark || t.to <= mark.from || t.from >= mark.to) {
        nodes.push(span(t.from, t.to, t.type));
        continue;
      }
      const from = Math.max(t.from, mark.from), to = Math.min(t.to, mark.to);
      nodes.push(span(t.from, from, t.type), h('span', { class: 't-wrong' }, text.slice(from, to)), span(to, t.to, t.type));
    }
    copy.replaceChildren(...nodes.filter(Boolean), '\n\u200b'); // room for the last, empty line
  }

  // Where the character at this offset is drawn.
  function place(offset) {
    const walker = document.createTreeWalker(copy, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode());) {
      if (offset <= node.data.length) {
        const range = document.createRange();
        range.setStart(node, offset);
        range.setEnd(node, Math.min(offset + 1, node.data.length));
        return range.getClientRects()[0] || range.getBoundingClientRect();
      }
      offset -= node.data.length;
    }
    return copy.getBoundingClientRect();
  }

  function close() {
    list.hidden = true;
    area.removeAttribute('aria-activedescendant');
  }

  function choose(i) {
    chosen = (i + found.length) % found.length;
    [...list.children].forEach((li, k) => li.setAttribute('aria-selected', k === chosen));
    area.setAttribute('aria-activedescendant', 'completion-' + chosen);
    list.children[chosen].scrollIntoView({ block: 'nearest' });
  }

  function accept() {
    const { from } = wordBefore(area.value, area.selectionStart);
    area.setSelectionRange(from, area.selectionStart);
    insert(found[chosen].insert);
    close();
  }

  function complete(asked) {
    const at = area.selectionStart;
    const { word, path } = wordBefore(area.value, at);
    const inside = tokens(area.value.slice(0, at)).at(-1);
    if ((inside && (inside.type === 'string' || inside.type === 'comment')) || (!asked && word.length < 2 && !path)) return close();
    found = completions(area.value, at, options.catalog);
    if (!found.length || (found.length === 1 && found[0].insert === word)) return close();
    list.replaceChildren(...found.map((c, i) => h('li', { role: 'option', id: 'completion-' + i, onmousedown: e => {
      e.preventDefault();
      chosen = i;
      accept();
    } }, h('span', { class: 'c-kind c-' + c.kind, 'aria-label': c.kind }, c.kind[0]), h('span', { class: 'c-label' }, c.label), h('span', { class: 'c-detail' }, c.detail))));
    list.hidden = false;
    const spot = place(at - word.length), around = host.getBoundingClientRect();
    list.style.left = Math.max(0, Math.min(spot.left - around.left, around.width - list.offsetWidth)) + 'px';
    list.style.top = spot.bottom - around.top + 4 + 'px';
    choose(0);
  }

  // As if typed: the browser's undo knows it.
  function insert(text) {
    area.focus();
    if (!document.execCommand('insertText', false, text)) area.setRangeText(text, area.selectionStart, area.selectionEnd, 'end');
    changed();
  }

  function changed() {
    mark = null;
    paint();
    options.onchange?.(area.value);
  }

  // Comments the lines of the selection out, or in again.
  function toggleComment() {
    const text = area.value, from = text.lastIndexOf('\n', area.selectionStart - 1) + 1;
    const end = text.indexOf('\n', Math.max(area.selectionEnd - 1, area.selectionStart)), to = end < 0 ? text.length : end;
    const rows = text.slice(from, to).split('\n');
    const all = rows.every(l => /^\s*--/.test(l) || !l.trim());
    area.setSelectionRange(from, to);
    insert(rows.map(l => all ? l.replace(/^(\s*)-- ?/, '$1') : l.trim() ? '-- ' + l : l).join('\n'));
    area.setSelectionRange(from, area.selectionEnd);
  }

  area.addEventListener('input', () => {
    changed();
    complete(false);
  });
  area.addEventListener('blur', close);
  area.addEventListener('click', close);
  area.addEventListener('keydown', e => {
    if (!list.hidden) {
      const act = { ArrowDown: () => choose(chosen + 1), ArrowUp: () => choose(chosen - 1), Enter: accept, Tab: accept, Escape: close }[e.key];
      if (act && !e.ctrlKey && !e.metaKey) {
        e.preventDefault();
        return act();
      }
      if (['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(e.key)) close();
    }
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) {
      e.preventDefault();
      close();
      options.onrun?.(e.shiftKey);
    } else if (e.key === ' ' && e.ctrlKey) {
      e.preventDefault();
      complete(true);
    } else if (e.key === '/' && (e.ctrlKey || e.metaKey)) {
      e.preventDefault();
      toggleComment();
    } else if (e.key === 'Enter' && !e.shiftKey) {
      const indent = /^[ \t]*/.exec(area.value.slice(area.value.lastIndexOf('\n', area.selectionStart - 1) + 1))[0];
      if (indent) {
        e.preventDefault();
        insert('\n' + indent);
      }
    }
  });
  paint();

  return {
    get value() { return area.value; },
    set value(text) {
      area.value = text;
      changed();
    },
    get at() { return area.selectionStart; },
    get selection() { return area.selectionStart === area.selectionEnd ? null : { from: area.selectionStart, to: area.selectionEnd }; },
    focus: () => area.focus(),
    element: area,
    // Shows where PostgreSQL found the fault: the word at this offset.
    mark(offset) {
      const t = tokens(area.value).find(x => x.from <= offset && offset < x.to);
      mark = { from: offset, to: t && t.type !== 'space' ? t.to : offset + 1 };
      paint();
      area.setSelectionRange(mark.from, mark.from);
    },
  };
}
