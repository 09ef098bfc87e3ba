/**
 * The board as one page of HTML: whole without a script and without anything from elsewhere. Its state stands in its
 * address. Texts in it come from other hosts, so everything is escaped here and nowhere else.
 */
import { PAGE_SCRIPT, PAGE_STYLE } from './page-assets.ts'
import { estimateText, span, summary, timeOf, waitsForShares } from './text.ts'
import { type BoardView, GROUPS, type Group, type HostView, someNames } from './view.ts'

/** What of the board is looked at. */
export interface Look {
  readonly show: Group | 'all'
  readonly host: string | undefined
}

/** A table that nobody reads helps nobody; filters bring the rest. */
const ROWS_MAX = 500
const RACKS_MAX = 300

const GROUP_NAMES: Readonly<Record<Look['show'], string>> = {
  all: 'all',
  alarm: 'in need of a person',
  waiting: 'waiting',
  coming: 'on their way',
  silent: 'silent',
  serving: 'serving',
}

/** Text that HTML does not obey, made by {@link html}. */
class Safe {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

type Part = string | number | Safe | readonly Part[] | undefined

function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Safe {
  return new Safe(strings.reduce((text, string, i) => text + string + (i < parts.length ? escaped(parts[i]) : ''), ''))
}

function escaped(part: Part): string {
  if (part === undefined) return ''
  if (part instanceof Safe) return part.text
  if (typeof part === 'object') return part.map(escaped).join('')
  return String(part).replaceAll(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

/** @returns A whole document. */
export function boardPage(view: BoardView, look: Look): string {
  const chosen = view.hosts.find(({ host }) => host === look.host)
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${view.fleet}: ${summary(view)}</title>
        <style>
          ${new Safe(PAGE_STYLE)}
        </style>
      </head>
      <body>
        <a class="skip" href="#hosts">to the hosts</a>
        <p id="live" role="status" class="unseen"></p>
        <p id="refresh" hidden><button type="button" aria-pressed="false">hold still</button> <span></span></p>
        <main>
          <h1>${view.fleet}</h1>
          <p id="summary">${summary(view)}</p>
          <p class="quiet">
            plan version ${view.planVersion}, as ${view.by} sees it at ${timeOf(view.takenWallMs)}. Expected:
            ${estimateText(view.estimate)}${
              view.usualMs === undefined ? '' : `; half of those that came back took ${span(view.usualMs)}`
            }.
          </p>
          ${alarms(view)} ${chosen && detail(chosen, view, look)} ${services(view, look)} ${missing(view)}
          ${racks(view)} ${hosts(view, look)}
          ${
            view.noise.length > 0
              ? html`<h2>To be expected</h2>
                  <ul class="quiet">
                    ${view.noise.map((text) => html`<li>${text}</li>`)}
                  </ul>`
              : undefined
          }
        </main>
        <script>
          ${new Safe(PAGE_SCRIPT)}
        </script>
      </body>
    </html> `.text
}

/** An address of this page with another look. */
function link(look: Look, change: Partial<Look>): string {
  const { show, host } = { ...look, ...change }
  const query = new URLSearchParams()
  if (show !== 'all') query.set('show', show)
  if (host !== undefined) query.set('host', host)
  const text = query.toString()
  return text === '' ? './' : `./?${text}`
}

/** @throws Nothing: what means nothing shows everything. */
export function lookOf(query: URLSearchParams): Look {
  const show = query.get('show') ?? 'all'
  return {
    show: Object.hasOwn(GROUPS, show) ? (show as Group) : 'all',
    host: query.get('host')?.slice(0, 63),
  }
}

function alarms({ alarms }: BoardView): Safe | undefined {
  if (alarms.length === 0) return undefined
  const rows = alarms
    .slice(0, ROWS_MAX)
    .map(
      ({ host, wallMs, text }) =>
        html`<li>
          <b>${host}</b> <span class="quiet">${wallMs === undefined ? 'now' : timeOf(wallMs)}</span> ${text}
        </li>`,
    )
  return html`<section class="alarms" aria-labelledby="alarms">
    <h2 id="alarms">Alarms</h2>
    <ul>
      ${rows}
    </ul>
  </section>`
}

function services({ services, hosts }: BoardView, look: Look): Safe | undefined {
  if (services.length === 0) return undefined
  const rows = services.map(
    ({ name, after, ready, starting, failed, frontierOn }) =>
      html`<tr>
        <th scope="row">${name}</th>
        <td>${after.length === 0 ? 'nothing' : after.join(', ')}</td>
        <td>
          ${ready} of ${hosts.length} <progress max="${hosts.length}" value="${ready}" aria-hidden="true"></progress>
        </td>
        <td>${starting}</td>
        <td class="${failed > 0 ? 'alarm' : ''}">${failed}</td>
        <td>
          ${frontierOn.slice(0, 12).map((host, i) => html`${i > 0 ? ', ' : ''}<a href="${link(look, { host })}">${host}</a>`)}${
            frontierOn.length > 12 ? ` and ${frontierOn.length - 12} more` : ''
          }
        </td>
      </tr>`,
  )
  return html`<h2>Services, in the order in which they start</h2>
    ${table(['service', 'after', 'ready on', 'starting on', 'failed on', 'next on'], rows)}`
}

/** @param rows - As many cells in each as there are heads. */
function table(heads: readonly string[], rows: readonly Safe[]): Safe {
  return html`<div class="wide">
    <table>
      <thead>
        <tr>
          ${heads.map((head) => html`<th scope="col">${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`
}

function missing({ missing }: BoardView): Safe | undefined {
  if (missing.length === 0) return undefined
  const rows = missing.map(
    ({ where, why, witnesses }) =>
      html`<tr>
        <th scope="row">${where}</th>
        <td>${why}</td>
        <td>${someNames(witnesses)}</td>
      </tr>`,
  )
  return html`<h2>Shares missing, of all that wait</h2>
    ${table(['where', 'why', 'witnesses'], rows)}`
}

function racks({ hosts }: BoardView): Safe {
  const byRack = [...Map.groupBy(hosts, ({ domain }) => domain.rack)].toSorted(([a], [b]) => (a < b ? -1 : 1))
  const boxes = byRack.slice(0, RACKS_MAX).map(([rack, those]) => {
    const { zone, room } = those[0].domain
    const squares = those
      .toSorted((a, b) => (a.host < b.host ? -1 : 1))
      .map(
        ({ host, standing, group }) =>
          html`<li class="${group}" title="${host}: ${standing}"><span>${host}</span> <small>${standing}</small></li>`,
      )
    return html`<section aria-label="rack ${rack}">
      <h3>${rack} <small>${zone} / ${room}</small></h3>
      <ul>
        ${squares}
      </ul>
    </section>`
  })
  const rest = byRack.length > RACKS_MAX ? html`<p>and ${byRack.length - RACKS_MAX} racks more</p>` : undefined
  return html`<h2>Racks</h2>
    <div class="racks">${boxes}</div>
    ${rest}`
}

function hosts(view: BoardView, look: Look): Safe {
  const shown = view.hosts.filter(({ group }) => look.show === 'all' || group === look.show)
  const filters = (Object.keys(GROUP_NAMES) as Look['show'][]).map((show) => {
    const count = show === 'all' ? view.hosts.length : view.counts[show]
    const current = show === look.show ? html` aria-current="true"` : undefined
    return html`<li><a href="${link(look, { show })}" ${current}>${GROUP_NAMES[show]} (${count})</a></li>`
  })
  const rows = shown.slice(0, ROWS_MAX).map((host) => row(host, look))
  const rest =
    shown.length > ROWS_MAX ? html`<p>and ${shown.length - ROWS_MAX} more: choose fewer above</p>` : undefined
  return html`<h2 id="hosts">Hosts</h2>
    <nav aria-label="which hosts">
      <ul class="filters">
        ${filters}
      </ul>
    </nav>
    ${table(['host', 'where', 'stands', 'verdict', 'shares', 'what is missing', 'services ready', 'expected'], rows)}
    ${rest}`
}

function row(host: HostView, look: Look): Safe {
  const { domain, standing, group, verdict, sharesHeld, sharesNeeded, missing, services, estimate, why } = host
  const lacking = missing.map(({ where, why, witnesses }) => `${witnesses.length} in ${where}: ${why}`).join('; ')
  const ready = services.filter(({ state }) => state === 'ready').length
  return html`<tr id="host-${host.host}">
    <th scope="row"><a href="${link(look, { host: host.host })}">${host.host}</a></th>
    <td>${domain.zone} / ${domain.room} / ${domain.rack}</td>
    <td class="${group}">${standing}</td>
    <td>${verdict}</td>
    <td>${waitsForShares(host) ? `${sharesHeld} of ${sharesNeeded}` : ''}</td>
    <td>${why ?? lacking}</td>
    <td>${services.length > 0 ? `${ready} of ${services.length}` : ''}</td>
    <td>${group === 'coming' ? estimateText(estimate) : ''}</td>
  </tr>`
}

function detail(host: HostView, { alarms }: BoardView, look: Look): Safe {
  const { domain, standing, verdict, sharesHeld, sharesNeeded, missing, services, why } = host
  const facts: readonly (readonly [string, Part])[] = [
    ['stands in', `${domain.zone} / ${domain.room} / ${domain.rack}, ${domain.pdu}`],
    ['it is', `${standing}${why === undefined ? '' : `: ${why}`}`],
    ['verdict', verdict ?? 'none yet'],
    ['shares', waitsForShares(host) ? `${sharesHeld} of the ${sharesNeeded} that are needed` : 'none needed'],
    [
      'missing',
      missing.map(({ where, why, witnesses }) => html`<div>${where}: ${why} (${witnesses.join(', ')})</div>`),
    ],
    [
      'services',
      services.map(({ name, state, sinceWallMs }) => html`<div>${name}: ${state} since ${timeOf(sinceWallMs)}</div>`),
    ],
    ['agent runs for', host.uptimeMs === undefined ? 'unknown' : span(host.uptimeMs)],
    ['audit log', host.auditLength === undefined ? 'unknown' : `${host.auditLength} entries`],
    ['alarms', alarms.filter((alarm) => alarm.host === host.host).map(({ text }) => html`<div>${text}</div>`)],
  ]
  return html`<section class="detail" aria-labelledby="detail">
    <h2 id="detail">${host.host}</h2>
    <dl>
      ${facts.map(
        ([name, value]) =>
          html`<dt>${name}</dt>
            <dd>${Array.isArray(value) && value.length === 0 ? 'none' : value}</dd>`,
      )}
    </dl>
    <p><a href="${link(look, { host: undefined })}">close</a></p>
  </section>`
}
