// EXPLAIN (FORMAT JSON) as a tree: what each node did itself, and where the planner's guess was wrong.
import { h, ms, plural } from './dom.js';

const spent = n => (n['Actual Total Time'] ?? 0) * (n['Actual Loops'] ?? 1);
const rowsOf = n => (n['Actual Rows'] ?? 0) * (n['Actual Loops'] ?? 1);

// A node's own time: what it took without its children.
export const own = n => Math.max(0, spent(n) - (n.Plans || []).filter(c => c['Parent Relationship'] !== 'InitPlan').reduce((sum, c) => sum + spent(c), 0));

const title = n => [n['Node Type'], n['Join Type'] && n['Node Type'] !== 'Nested Loop' ? `(${n['Join Type']})` : '',
  n['Relation Name'] ? 'on ' + n['Relation Name'] + (n.Alias && n.Alias !== n['Relation Name'] ? ' ' + n.Alias : '') : '',
  n['Index Name'] ? 'by ' + n['Index Name'] : '', n['Function Name'] ? 'of ' + n['Function Name'] : '', n['CTE Name'] ? 'of ' + n['CTE Name'] : ''].filter(Boolean).join(' ');

const DETAILS = ['Filter', 'Index Cond', 'Hash Cond', 'Merge Cond', 'Join Filter', 'Recheck Cond', 'Sort Key', 'Sort Method', 'Group Key', 'Rows Removed by Filter',
  'Rows Removed by Join Filter', 'Heap Fetches', 'Workers Launched', 'Peak Memory Usage', 'Sort Space Used', 'Shared Hit Blocks', 'Shared Read Blocks', 'Temp Written Blocks'];

function estimate(n) {
  if (n['Actual Rows'] === undefined) return null;
  const guess = Math.max(1, n['Plan Rows']), real = Math.max(1, n['Actual Rows']);
  const off = real > guess ? real / guess : guess / real;
  return off < 10 ? null : h('span', { class: 'wrong' }, `${Math.round(off).toLocaleString('en')} times ${real > guess ? 'more' : 'fewer'} rows than guessed`);
}

function node(n, whole) {
  const analyzed = n['Actual Total Time'] !== undefined;
  const share = analyzed && whole > 0 ? own(n) / whole : 0;
  const bar = h('span', { class: 'bar', 'aria-hidden': 'true' }, h('span'));
  bar.firstChild.style.width = Math.round(share * 100) + '%';
  const figures = analyzed
    ? [`${ms(own(n))} itself`, `${ms(spent(n))} with children`, `${plural(rowsOf(n), 'row')} (guessed ${(n['Plan Rows'] * n['Actual Loops']).toLocaleString('en')})`,
      n['Actual Loops'] > 1 ? `${n['Actual Loops'].toLocaleString('en')} loops` : ''].filter(Boolean).join(' · ')
    : `cost ${n['Total Cost'].toLocaleString('en')} · ${n['Plan Rows'].toLocaleString('en')} rows guessed`;
  const more = DETAILS.filter(k => n[k] !== undefined && n[k] !== 0).map(k => h('div', null, h('span', { class: 'soft' }, k + ': '), String(n[k])));
  return h('li', null,
    h('div', { class: 'plan-node' + (share > 0.4 ? ' hot' : '') }, bar, h('strong', null, title(n)), h('span', { class: 'soft' }, figures), estimate(n)),
    more.length ? h('details', null, h('summary', null, 'Details'), more) : null,
    n.Plans && h('ul', null, n.Plans.map(c => node(c, whole))));
}

export function planTree(explained) {
  const [{ Plan, ...rest }] = explained;
  const whole = Plan['Actual Total Time'] === undefined ? 0 : spent(Plan);
  return h('div', { class: 'plan', tabindex: '0', role: 'region', 'aria-label': 'Execution plan' },
    h('p', { class: 'soft' }, [rest['Planning Time'] !== undefined && 'planning ' + ms(rest['Planning Time']), rest['Execution Time'] !== undefined && 'execution ' + ms(rest['Execution Time'])].filter(Boolean).join(' · ')),
    h('ul', null, node(Plan, whole)));
}
