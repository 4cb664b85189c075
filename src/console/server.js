// The Server tab: what /metrics and /ready say, as charts; queries of one's own, with Cancel.
import { auth, config, operator, rows, sql } from './api.js';
import { $, bytes, h, ms, plural, problem, status, svg } from './dom.js';

const EVERY = 2000, POINTS = 150; // five minutes
const history = [];
let timer = 0, before = null;

// [{name, labels, value}] of the exposition format.
export function parseMetrics(text) {
  const out = [];
  for (const line of text.split('\n')) {
    const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!m) continue;
    const labels = {};
    for (const [, k, v] of (m[2] || '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[k] = v;
    out.push({ name: m[1], labels, value: Number(m[3]) });
  }
  return out;
}

const sum = (all, name, test = () => true) => all.filter(s => s.name === name && test(s.labels)).reduce((t, s) => t + s.value, 0);
// What people ask for: not the page's own questions, nor streams.
const asked = l => !/^(console|page|listen)/.test(l.route || '');

// A quantile of a histogram's increase between two scrapes, in ms; null without requests.
export function quantile(now, then, q, name = 'pghttpd_http_request_duration_seconds') {
  const buckets = new Map();
  for (const [all, sign] of [[now, 1], [then, -1]])
    for (const s of all) if (s.name === name + '_bucket' && asked(s.labels)) buckets.set(s.labels.le, (buckets.get(s.labels.le) || 0) + sign * s.value);
  const list = [...buckets].map(([le, n]) => [le === '+Inf' ? Infinity : Number(le), n]).sort((a, b) => a[0] - b[0]);
  const whole = list.at(-1)?.[1] || 0;
  if (!whole) return null;
  let lower = 0, under = 0;
  for (const [le, n] of list) {
    if (n >= q * whole) return 1000 * (le === Infinity ? lower : lower + (le - lower) * (q * whole - under) / Math.max(1e-9, n - under));
    lower = le;
    under = n;
  }
  return 1000 * lower;
}

function point(now, then, seconds) {
  const rate = (name, test) => Math.max(0, sum(now, name, test) - sum(then, name, test)) / seconds;
  const failed = l => asked(l) && l.status >= '500';
  return {
    requests: rate('pghttpd_http_requests_total', asked), errors: rate('pghttpd_http_requests_total', failed),
    p50: quantile(now, then, 0.5), p99: quantile(now, then, 0.99),
    busy: sum(now, 'pghttpd_db_pool_busy'), idle: sum(now, 'pghttpd_db_pool_idle'), waiting: sum(now, 'pghttpd_db_pool_waiting'), max: sum(now, 'pghttpd_db_pool_max'),
    streams: sum(now, 'pghttpd_streams'), events: rate('pghttpd_listen_delivered_total'), dropped: rate('pghttpd_listen_dropped_total'),
    lag: 1000 * Math.max(0, ...now.filter(s => s.name === 'pghttpd_loop_lag_seconds').map(s => s.value)),
    cpu: 100 * rate('process_cpu_seconds_total'), memory: sum(now, 'process_resident_memory_bytes'),
  };
}

const CHARTS = [
  { title: 'Requests a second', lines: [['requests', 'answered'], ['errors', '5xx']], form: v => v < 10 ? v.toFixed(1) : Math.round(v).toLocaleString('en') },
  { title: 'Latency', lines: [['p50', 'half within'], ['p99', '99 % within']], form: ms },
  { title: 'Database connections', lines: [['busy', 'busy'], ['idle', 'idle'], ['waiting', 'requests waiting']], form: v => String(Math.round(v)), top: 'max' },
  { title: 'Event streams', lines: [['streams', 'open'], ['events', 'events a second'], ['dropped', 'dropped a second']], form: v => v < 10 && v % 1 ? v.toFixed(1) : Math.round(v).toLocaleString('en') },
  { title: 'Longest turn', lines: [['lag', 'of a worker’s loop in the last minute']], form: ms },
  { title: 'Processor', lines: [['cpu', 'of one core']], form: v => v.toFixed(0) + ' %' },
  { title: 'Memory', lines: [['memory', 'resident']], form: bytes },
];
const W = 300, H = 90;

function draw(chart) {
  const last = history.at(-1), lines = chart.lines;
  const most = Math.max(1e-9, ...lines.flatMap(([key]) => history.map(p => p[key] ?? 0))) * 1.1;
  const span = Math.max(30, history.length);
  const x = i => W - (history.length - 1 - i) * W / (span - 1), y = v => H - 2 - (H - 6) * v / most;
  chart.svg.replaceChildren(svg('line', { x1: 0, x2: W, y1: H - 1, y2: H - 1, class: 'axis' }), ...lines.map(([key], n) => {
    const parts = [];
    history.forEach((p, i) => p[key] !== null && p[key] !== undefined && parts.push(`${x(i).toFixed(1)},${y(p[key]).toFixed(1)}`));
    return svg('polyline', { points: parts.join(' '), class: 'line line-' + n });
  }));
  const said = lines.map(([key, name]) => [name, last[key] === null ? 'none' : chart.form(last[key])]);
  chart.legend.replaceChildren(...said.map(([name, value], n) => h('span', { class: 'legend key-' + n }, h('b', null, value), ' ' + name)),
    chart.top && h('span', { class: 'soft' }, `of ${last[chart.top]} at most`) || '');
  chart.most.textContent = 'up to ' + chart.form(most / 1.1);
  chart.svg.setAttribute('aria-label', chart.title + ': ' + said.map(([n, v]) => v + ' ' + n).join(', '));
}

function build() {
  $('charts').replaceChildren(...CHARTS.map(c => {
    c.svg = svg('svg', { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': c.title });
    c.legend = h('div', { class: 'legends' });
    return h('section', { class: 'card chart' }, h('h2', { class: 'small' }, c.title, c.most = h('small', { class: 'soft most' })), c.svg, c.legend);
  }));
}

async function readiness() {
  const chip = $('ready');
  try {
    const text = (await (await operator('ready')).text()).trim();
    chip.textContent = text;
    chip.className = 'chip ' + (text === 'ready' ? 'good' : 'wrong');
  } catch (e) {
    chip.textContent = e.status === 503 ? 'not ready: ' + e.message : e.status ? 'not shown' : 'no answer';
    chip.className = 'chip wrong';
    if (e.status !== 503) throw e;
  }
}

async function poll() {
  try {
    await readiness();
    const text = await (await operator('metrics')).text();
    const now = { at: performance.now(), all: parseMetrics(text) };
    $('server-problem').replaceChildren();
    $('charts').hidden = false;
    if (before && now.at - before.at < EVERY / 4) return; // too short for a rate
    if (before) {
      history.push(point(now.all, before.all, (now.at - before.at) / 1000));
      if (history.length > POINTS) history.shift();
      CHARTS.forEach(draw);
      const up = Date.now() / 1000 - sum(now.all, 'process_start_time_seconds');
      $('uptime').textContent = `pghttpd ${config.version}, up ${ms(1000 * up)}, ${plural(sum(now.all, 'pghttpd_http_connections'), 'connection')}`;
    }
    before = now;
  } catch (e) {
    if (e.code === 'PGH401' || e.code === 'PGH403') {
      e.setting = 'admin-token';
      $('charts').hidden = true;
    }
    $('server-problem').replaceChildren(problem(e));
  }
}

const OWN = `select pid, coalesce(application_name, ''), state, coalesce(wait_event_type || ': ' || wait_event, ''),
       (1000 * extract(epoch from clock_timestamp() - query_start))::bigint, query
  from pg_catalog.pg_stat_activity
 where usename = current_user and pid <> pg_backend_pid() and state <> 'idle' and backend_type = 'client backend' order by 5 desc limit 100`;

async function queries() {
  const host = $('queries');
  if (config.sql === 'off') return host.replaceChildren(h('p', { class: 'soft' }, 'Not shown: needs /sql. Setting: ', h('code', null, 'sql-access = login')));
  if (config.sql === 'login' && !auth.user) return host.replaceChildren(h('p', { class: 'soft' }, 'Sign in with a PostgreSQL login to see its queries.'));
  try {
    const list = await rows(OWN);
    host.replaceChildren(list.length ? h('div', { class: 'grid', tabindex: '0', role: 'region', 'aria-label': 'Queries' }, h('table', null,
      h('thead', null, h('tr', null, ['Backend', 'Running', 'State', 'Waits for', 'Query', ''].map(t => h('th', { scope: 'col' }, t || h('span', { class: 'away' }, 'Actions'))))),
      h('tbody', null, list.map(([pid, , state, wait, took, query]) => h('tr', null, h('td', null, pid), h('td', { class: 'number' }, ms(Number(took))), h('td', null, state), h('td', null, wait),
        h('td', { class: 'query' }, query.replace(/\s+/g, ' ').slice(0, 500)), h('td', null, h('button', { type: 'button', class: 'small danger', 'aria-label': 'Cancel query of backend ' + pid, onclick: () => cancel(pid) }, 'Cancel'))))))) :
      h('p', { class: 'soft' }, `No query of ${auth.user || 'this login'} is running.`));
  } catch (e) {
    host.replaceChildren(problem(e));
  }
}

async function cancel(pid) {
  try {
    const { rows: [[done]] } = await sql('select pg_cancel_backend($1)', { params: [Number(pid)] });
    status(done === 't' ? `Query of backend ${pid} cancelled.` : `Backend ${pid} is gone.`);
  } catch (e) {
    status('Not cancelled: ' + e.message);
  }
  queries();
}

async function reload() {
  try {
    await sql("notify pgrst, 'reload schema'");
    status('Asked to load the catalog again.');
  } catch (e) {
    status('Not reloaded: ' + e.message);
  }
}

let turns = 0; // the last one begun goes on; one that was overtaken ends
async function turn() {
  const mine = ++turns;
  clearTimeout(timer);
  if ($('panel-server').hidden) return;
  if (!document.hidden) await Promise.all([poll(), queries()]);
  if (mine === turns) timer = setTimeout(turn, EVERY);
}

export function start() {
  build();
  $('reload').onclick = reload;
  document.addEventListener('auth', () => { if (!$('panel-server').hidden) turn(); });
}

export const show = turn;
