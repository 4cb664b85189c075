// The Browse tab: what /rest describes (OpenAPI), as tables to look through and change and functions to call. Each request
// is shown as it is sent, to be copied.
import { auth, config, rest, restUrl } from './api.js';
import { $, copy, dialog, h, ms, plural, problem, status } from './dom.js';
import { grid } from './grid.js';

const PAGES = [25, 50, 100, 500];
const OPERATORS = [['eq', '='], ['neq', '≠'], ['gt', '>'], ['gte', '≥'], ['lt', '<'], ['lte', '≤'], ['like', 'like (* for any)'], ['ilike', 'ilike'], ['match', 'matches (~)'], ['in', 'in (a,b)'],
  ['is', 'is (null, true …)'], ['not.is', 'is not'], ['cs', 'contains'], ['cd', 'contained in'], ['ov', 'overlaps'], ['fts', 'full text'], ['wfts', 'web search']];

let api = null, loaded = '', schema = '', view = null;

// JSON whose numbers keep their digits, where the browser can tell them.
export function parseExact(text) {
  return JSON.parse(text, (key, value, context) => typeof value === 'number' && context?.source !== undefined && String(value) !== context.source ? context.source : value);
}
const cellText = v => v === null || v === undefined ? null : typeof v === 'object' ? JSON.stringify(v) : String(v);

// [{name, type, primary, to: {table, column}, required, values, about}]
export function columnsOf(definition) {
  return Object.entries(definition.properties || {}).map(([name, p]) => {
    const text = p.description || '', fk = /<fk table='([^']*)' column='([^']*)'\/>/.exec(text);
    return { name, type: p.format || p.type || '', primary: text.includes('<pk/>'), to: fk && { table: fk[1], column: fk[2] }, required: (definition.required || []).includes(name) && p.default === undefined,
      values: p.enum, default: p.default, about: text.split('Note:')[0].trim(), number: p.type === 'number' || p.type === 'integer', boolean: p.type === 'boolean', json: /^jsonb?$/.test(p.format || '') || (p.type === 'array') || !p.type };
  });
}

// What can be embedded into a table's rows: what it points to, and what points to it.
export function embeddable(definitions, table) {
  const out = new Set(columnsOf(definitions[table]).filter(c => c.to && definitions[c.to.table]).map(c => c.to.table));
  for (const [name, d] of Object.entries(definitions)) if (name !== table && columnsOf(d).some(c => c.to?.table === table)) out.add(name);
  return [...out].sort();
}

const encode = text => encodeURIComponent(text).replace(/%2C/g, ',').replace(/%3A/g, ':');
// "products" or "rpc/revenue", as it stands in the path.
const encodePath = name => name.startsWith('rpc/') ? 'rpc/' + encode(name.slice(4)) : encode(name);

export function pathOf(v) {
  const q = [];
  if (v.embeds.size) q.push('select=*,' + [...v.embeds].map(e => encode(e) + '(*)').join(','));
  for (const f of v.filters) if (f.column && f.value !== '') q.push(encode(f.column) + '=' + f.operator + '.' + encode(f.operator === 'in' && !f.value.startsWith('(') ? `(${f.value})` : f.value));
  if (v.order) q.push('order=' + encode(v.order.column) + (v.order.down ? '.desc' : ''));
  q.push('limit=' + v.limit);
  if (v.offset) q.push('offset=' + v.offset);
  return encodePath(v.name) + '?' + q.join('&');
}

const shellQuote = text => /^[\w@%+=:,./-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'";
const absolute = path => new URL(restUrl(path), location.href).href;

// A request in three languages; the token is named, not shown.
export function samples({ method, path, body, headers = {} }) {
  const url = absolute(path), all = { ...(auth.token ? { Authorization: 'Bearer TOKEN' } : {}), ...(body ? { 'Content-Type': 'application/json' } : {}), ...headers };
  const shell = Object.entries(all).map(([k, v]) => v.includes('TOKEN') ? ` -H "${k}: ${v.replace('TOKEN', '$TOKEN')}"` : ' -H ' + shellQuote(`${k}: ${v}`)).join('');
  const js = Object.entries(all).map(([k, v]) => `    ${JSON.stringify(k)}: ${v.includes('TOKEN') ? "'Bearer ' + token" : JSON.stringify(v)},\n`).join('');
  const py = Object.entries(all).map(([k, v]) => `    ${JSON.stringify(k)}: ${v.includes('TOKEN') ? "'Bearer ' + token" : JSON.stringify(v)},\n`).join('');
  return {
    curl: `curl -g ${method === 'GET' ? '' : `-X ${method} `}${shellQuote(url)}${shell}${body ? ' -d ' + shellQuote(body) : ''}`,
    JavaScript: `const response = await fetch(${JSON.stringify(url)}, {\n  method: '${method}',\n${js ? `  headers: {\n${js}  },\n` : ''}${body ? `  body: JSON.stringify(${body}),\n` : ''}})\nconst rows = await response.json()`,
    Python: `import requests\n\nresponse = requests.request('${method}', ${JSON.stringify(url)}${py ? `, headers={\n${py}}` : ''}${body ? `, data=${JSON.stringify(body)}` : ''})\nrows = response.json()`,
  };
}

let language = 'curl';
function showRequest(request) {
  const forms = samples(request), pre = h('pre', { class: 'code', tabindex: '0' });
  const pick = name => {
    language = name;
    pre.textContent = forms[name];
    for (const b of choice.children) b.setAttribute('aria-pressed', b.textContent === name);
  };
  const choice = h('span', { class: 'row tools' }, Object.keys(forms).map(name => h('button', { type: 'button', class: 'small', onclick: () => pick(name) }, name)));
  pick(language);
  $('browse-request').replaceChildren(h('details', null,
    h('summary', null, h('span', { class: 'method' }, request.method), ' ', h('code', null, decodeURI(new URL(absolute(request.path)).pathname + new URL(absolute(request.path)).search))),
    h('div', { class: 'row' }, choice, h('button', { type: 'button', class: 'small', onclick: () => copy(forms[language], 'the request as ' + language) }, 'Copy')), pre));
}

const profile = write => schema ? { [write ? 'Content-Profile' : 'Accept-Profile']: schema } : {};

async function send(request) {
  showRequest(request);
  return rest(request.path, { method: request.method, body: request.body, headers: request.headers });
}

// ---- the list on the left ----

function drawList() {
  const wanted = $('browse-search').value.toLowerCase();
  const fits = name => name.toLowerCase().includes(wanted);
  const link = (name, text) => h('li', null, h('a', { href: '#browse/' + encodePath(name), 'aria-current': view?.name === name ? 'page' : undefined }, text));
  const names = Object.keys(api?.paths || {}).map(p => p.slice(1));
  const functions = names.filter(n => n.startsWith('rpc/')), tables = names.filter(n => n && !n.startsWith('rpc/'));
  const part = (title, list, text) => list.length ? [h('h2', { class: 'small' }, title), h('ul', null, list.map(n => link(n, text(n))))] : [];
  $('browse-list').replaceChildren(...part('Tables and views', tables.filter(fits), n => n), ...part('Functions', functions.filter(fits), n => n.slice(4) + '()'));
  if (api && !tables.length && !functions.length) $('browse-list').append(h('p', { class: 'soft' }, 'Nothing is granted to this role in the exposed schemas (db-schemas).'));
}

function schemas() {
  const list = config.databases.find(d => d.name === auth.database)?.schemas || [];
  const choice = $('browse-schema');
  choice.replaceChildren(...list.map(s => h('option', { value: s }, s)));
  choice.hidden = list.length < 2;
  if (schema) choice.value = schema;
  choice.onchange = () => {
    schema = choice.value;
    location.hash = 'browse';
    show();
  };
}

async function describe() {
  const key = [auth.token, auth.database, schema].join('\n');
  if (api && loaded === key) return true;
  try {
    api = await (await rest('', { headers: { Accept: 'application/openapi+json', ...profile(false) } })).json();
    loaded = key;
    $('browse-problem').replaceChildren();
    schemas();
    drawList();
    return true;
  } catch (e) {
    api = null;
    drawList();
    $('browse-main').replaceChildren();
    $('browse-request').replaceChildren();
    $('browse-problem').replaceChildren(problem(e), e.status === 401 ? h('button', { type: 'button', class: 'main', onclick: () => document.dispatchEvent(new CustomEvent('sign-in', { detail: 'token' })) }, 'Sign in with a token') : '');
    return false;
  }
}

// ---- a table ----

const definition = () => api.definitions[view.name];
const key = row => view.columns.map((c, i) => c.primary ? encode(c.name) + '=eq.' + encode(row[i]) : '').filter(Boolean).join('&');
const keyed = () => view.columns.some(c => c.primary);
const methods = () => api.paths['/' + view.name];

function filterRow(f) {
  const redo = () => { view.offset = 0; load(); };
  const column = h('select', { 'aria-label': 'Column', onchange: () => { f.column = column.value; if (f.value) redo(); } }, view.columns.map(c => h('option', { value: c.name }, c.name)));
  const operator = h('select', { 'aria-label': 'Operator', onchange: () => { f.operator = operator.value; if (f.value) redo(); } }, OPERATORS.map(([v, t]) => h('option', { value: v }, t)));
  const value = h('input', { 'aria-label': 'Value', value: f.value, spellcheck: 'false', onchange: () => { f.value = value.value; redo(); } });
  column.value = f.column;
  operator.value = f.operator;
  return h('div', { class: 'row filter' }, column, operator, value, h('button', { type: 'button', class: 'small', 'aria-label': 'Remove this filter', onclick: () => {
    view.filters.splice(view.filters.indexOf(f), 1);
    drawFilters();
    redo();
  } }, '✕'));
}

function drawFilters() {
  $('filters').replaceChildren(...view.filters.map(filterRow));
}

function pager(shown, total) {
  const go = by => { view.offset = Math.max(0, view.offset + by * view.limit); load(); };
  const size = h('select', { 'aria-label': 'Rows a page', onchange: () => { view.limit = Number(size.value); view.offset = 0; load(); } }, PAGES.map(n => h('option', { value: n }, n + ' a page')));
  size.value = view.limit;
  return h('div', { class: 'row pager' }, h('button', { type: 'button', disabled: view.offset === 0, onclick: () => go(-1) }, '← Previous'),
    h('span', { class: 'soft' }, shown ? `${(view.offset + 1).toLocaleString('en')} to ${(view.offset + shown).toLocaleString('en')}` + (total === null ? '' : ` of ${total.toLocaleString('en')}`) : 'no rows'),
    h('button', { type: 'button', disabled: shown < view.limit || (total !== null && view.offset + shown >= total), onclick: () => go(1) }, 'Next →'), size);
}

// The last request asked for is the one shown: an earlier answer that comes later is dropped.
let turn = 0;
async function load() {
  const mine = ++turn, began = performance.now();
  const request = { method: 'GET', path: pathOf(view), headers: profile(false) };
  try {
    const r = await send({ ...request, headers: { ...request.headers, Prefer: 'count=exact' } });
    const rows = parseExact(await r.text());
    if (mine !== turn) return;
    const total = Number(/\/(\d+)$/.exec(r.headers.get('content-range') || '')?.[1] ?? NaN);
    const extra = [...view.embeds].map(name => ({ name, type: 'embedded', json: true }));
    const columns = [...view.columns, ...extra];
    const g = grid({ columns, label: 'Rows of ' + view.name, sorted: view.order, onsort(name) {
      view.order = { column: name, down: view.order?.column === name ? !view.order.down : false };
      view.offset = 0;
      if (!extra.some(e => e.name === name)) load();
    }, actions: keyed() && (methods().patch || methods().delete) ? row => [methods().patch && h('button', { type: 'button', class: 'small', onclick: () => edit(row) }, 'Edit'), methods().delete && h('button', { type: 'button', class: 'small danger', onclick: () => remove(row) }, 'Delete')] : undefined });
    $('rows').replaceChildren(g.element, pager(rows.length, Number.isNaN(total) ? null : total));
    g.add(rows.map(o => columns.map(c => cellText(o[c.name]))));
    status(`${plural(rows.length, 'row')} in ${ms(performance.now() - began)}.`);
  } catch (e) {
    if (mine === turn) $('rows').replaceChildren(problem(denied(e)));
  }
}

function denied(e, what = 'SELECT') {
  if (e.code === '42501') e.hint ??= `GRANT ${what} ON ${view.name} TO the role of your token (db-anon-role without one) would allow it; row level security may still narrow it.`;
  return e;
}

const literal = (c, text) => {
  if (c.number && /^-?(0|[1-9]\d*)(\.\d+)?$/.test(text)) return text;
  if (c.boolean && /^(true|false)$/.test(text)) return text;
  if (c.json) try { JSON.parse(text); return text; } catch { /* sent as text: PostgreSQL will say what is wrong */ }
  return JSON.stringify(text);
};

// A form of the columns; resolves with the JSON of those that changed, or null.
async function rowForm(title, row) {
  const fields = view.columns.map((c, i) => {
    const was = row ? row[i] : null;
    const long = was !== null && (was.length > 60 || was.includes('\n'));
    const input = c.values ? h('select', { id: 'f-' + i }, h('option', { value: '' }, ''), c.values.map(v => h('option', null, v)))
      : c.boolean ? h('select', { id: 'f-' + i }, ['', 'true', 'false'].map(v => h('option', null, v)))
        : h(c.json || long ? 'textarea' : 'input', { id: 'f-' + i, spellcheck: 'false', placeholder: row || !c.default ? '' : 'default: ' + c.default, ...(c.json || long ? { rows: '3' } : {}) });
    input.value = was ?? '';
    const empty = h('input', { type: 'checkbox', 'aria-label': c.name + ' is NULL' });
    empty.checked = row ? was === null : false;
    input.addEventListener('input', () => { empty.checked = false; });
    return { c, was, input, empty, element: h('div', { class: 'field' }, h('label', { for: 'f-' + i }, c.name, h('small', null, [c.type, c.primary && 'key', c.to && '→ ' + c.to.table, c.required && 'required'].filter(Boolean).join(' · '))),
      h('div', { class: 'row grow' }, input, h('label', { class: 'null-box' }, empty, 'NULL')), c.about && h('p', { class: 'soft' }, c.about)) };
  });
  const answer = await dialog(title, fields.map(f => f.element), [['close', 'Cancel'], ['save', 'Save', 'main']], { wide: true });
  if (answer !== 'save') return null;
  const changed = fields.filter(f => row ? (f.empty.checked ? f.was !== null : f.input.value !== (f.was ?? '') || (f.was === null && f.input.value !== '')) : f.empty.checked || f.input.value !== '');
  return '{' + changed.map(f => JSON.stringify(f.c.name) + ':' + (f.empty.checked ? 'null' : literal(f.c, f.input.value))).join(',') + '}';
}

async function write(request, what, done) {
  const trouble = $('write-problem');
  trouble.replaceChildren();
  try {
    const r = await send({ ...request, headers: { ...profile(true), Prefer: 'return=representation' } });
    const n = JSON.parse(await r.text()).length;
    if (!n) trouble.replaceChildren(h('p', { class: 'note' }, 'No row was changed: row level security hides it from you, or it is gone.'));
    status(`${plural(n, 'row')} ${done}.`);
    const shown = $('browse-request').firstChild;
    await load();
    $('browse-request').replaceChildren(shown); // the write is what one wants to copy
  } catch (e) {
    trouble.replaceChildren(problem(denied(e, what)));
  }
}

async function edit(row) {
  const body = await rowForm('Edit a row of ' + view.name, row);
  if (body && body !== '{}') await write({ method: 'PATCH', path: encode(view.name) + '?' + key(row), body }, 'UPDATE', 'changed');
}

async function add() {
  const body = await rowForm('New row of ' + view.name, null);
  if (body) await write({ method: 'POST', path: encode(view.name), body }, 'INSERT', 'added');
}

async function remove(row) {
  const what = view.columns.map((c, i) => c.primary ? `${c.name} = ${row[i]}` : '').filter(Boolean).join(', ');
  const answer = await dialog('Delete this row?', h('p', null, `${view.name} where ${what}`), [['close', 'Keep it', 'main'], ['delete', 'Delete', 'danger']]);
  if (answer === 'delete') await write({ method: 'DELETE', path: encode(view.name) + '?' + key(row) }, 'DELETE', 'deleted');
}

function openTable(name) {
  const d = api.definitions[name];
  view = { name, columns: columnsOf(d), filters: [], order: null, limit: 25, offset: 0, embeds: new Set() };
  const more = embeddable(api.definitions, name);
  const columns = h('details', { class: 'columns' }, h('summary', null, plural(view.columns.length, 'column')), h('ul', null, view.columns.map(c =>
    h('li', null, h('code', null, c.name), ' ', h('span', { class: 'soft' }, c.type), c.primary && h('span', { class: 'tag' }, 'key'), c.to && h('a', { href: '#browse/' + encodeURIComponent(c.to.table), class: 'tag' }, '→ ' + c.to.table), c.about && h('span', { class: 'soft' }, ' ' + c.about)))));
  $('browse-main').replaceChildren(
    h('h2', null, name), d.description && h('p', { class: 'soft' }, d.description), columns,
    h('div', { class: 'row' },
      h('button', { type: 'button', onclick: () => {
        view.filters.push({ column: view.columns[0].name, operator: 'eq', value: '' });
        drawFilters();
        $('filters').lastChild.querySelector('select').focus();
      } }, '+ Filter'),
      methods().post ? h('button', { type: 'button', onclick: add }, '+ Row') : null,
      more.length ? h('fieldset', { class: 'embeds' }, h('legend', null, 'With'), more.map(m => h('label', null, h('input', { type: 'checkbox', onchange: e => {
        view.embeds[e.target.checked ? 'add' : 'delete'](m);
        load();
      } }), m))) : null),
    h('div', { id: 'filters' }), h('div', { id: 'write-problem' }), h('div', { id: 'rows' }));
  load();
}

// ---- a function ----

function openFunction(name) {
  const path = api.paths['/' + name], post = path.post || path.get;
  const args = path.post ? path.post.parameters.find(p => p.in === 'body')?.schema || {} : {};
  view = { name, columns: columnsOf({ properties: args.properties, required: args.required }), embeds: new Set(), filters: [] };
  const inputs = view.columns.map((c, i) => {
    const input = h(c.json ? 'textarea' : 'input', { id: 'a-' + i, spellcheck: 'false', required: c.required, ...(c.json ? { rows: '3', placeholder: 'JSON' } : c.type === 'date' ? { type: 'date' } : {}) });
    return { c, input, element: h('div', { class: 'field' }, h('label', { for: 'a-' + i }, c.name, h('small', null, c.type + (c.required ? ' · required' : ''))), input) };
  });
  const call = async e => {
    e.preventDefault();
    const given = inputs.filter(x => x.input.value !== '');
    const request = path.get
      ? { method: 'GET', path: encodePath(name) + (given.length ? '?' + given.map(x => encode(x.c.name) + '=' + encode(x.input.value)).join('&') : ''), headers: profile(false) }
      : { method: 'POST', path: encodePath(name), headers: profile(true), body: '{' + given.map(x => JSON.stringify(x.c.name) + ':' + literal(x.c, x.input.value)).join(',') + '}' };
    const began = performance.now();
    try {
      const r = await send(request), text = await r.text(), value = text ? parseExact(text) : null;
      status(`${r.status} in ${ms(performance.now() - began)}.`);
      if (Array.isArray(value) && value.length && value.every(v => v && typeof v === 'object' && !Array.isArray(v))) {
        const names = [...new Set(value.flatMap(Object.keys))], g = grid({ columns: names.map(n => ({ name: n, type: '', number: value.every(o => typeof o[n] === 'number' || o[n] === null), json: false })), label: 'Result of ' + name });
        $('rows').replaceChildren(g.element);
        g.add(value.map(o => names.map(n => cellText(o[n]))));
      } else {
        $('rows').replaceChildren(h('pre', { class: 'code', tabindex: '0' }, text ? JSON.stringify(value, null, 2) : `${r.status}: done, nothing to show`));
      }
    } catch (x) {
      if (x.code === '42501') x.hint ??= `GRANT EXECUTE ON FUNCTION ${name.slice(4)} TO the role of your token would allow it.`;
      $('rows').replaceChildren(problem(x));
    }
  };
  $('browse-main').replaceChildren(h('h2', null, name.slice(4) + '()'), h('p', { class: 'soft' }, [post.summary, post.description].filter(Boolean).join('. ')),
    h('form', { class: 'call', onsubmit: call }, inputs.map(x => x.element), h('button', { class: 'main' }, 'Call')), h('div', { id: 'rows' }));
  $('browse-request').replaceChildren();
}

export const place = () => view && 'browse/' + encodePath(view.name);

export async function show() {
  if (!await describe()) return;
  const name = decodeURIComponent(location.hash.split('/').slice(1).join('/'));
  if (name && name === view?.name && $('rows')) return;
  view = null;
  if (api.definitions?.[name] && api.paths['/' + name]) openTable(name);
  else if (api.paths?.['/' + name] && name.startsWith('rpc/')) openFunction(name);
  else {
    $('browse-request').replaceChildren();
    $('browse-main').replaceChildren(h('h2', null, api.info?.title || 'Tables, views and functions'), h('p', { class: 'soft' }, api.info?.description || ''), h('p', null, name ? `Nothing of the name ${name} is granted to you.` : 'Choose one.'));
  }
  drawList();
  $('browse-picker').open = matchMedia('(min-width: 60rem)').matches || !view;
}

export function start() {
  $('browse-search').oninput = drawList;
  document.addEventListener('auth', () => {
    view = null;
    loaded = '';
  });
}
