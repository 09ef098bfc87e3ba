/** Style and script of the board's page. They stand in the page itself, and its policy names them by their digests. */

export const PAGE_STYLE = `
:root { color-scheme: light dark; --line: light-dark(#ccd, #445); --quiet: light-dark(#555, #aab);
  --alarm: light-dark(#a30021, #ff8fa3); --waiting: light-dark(#8a4b00, #ffc078); --coming: light-dark(#0a4f9e, #8fc1ff);
  --silent: light-dark(#555, #aab); --serving: light-dark(#116329, #7ee2a0) }
body { font: 16px/1.45 system-ui, sans-serif; margin: 1.2rem auto; max-width: 78rem; padding: 0 1rem }
h1 { margin: 0 } h2 { margin: 1.6rem 0 .4rem; font-size: 1.15rem } h3 { margin: 0; font-size: 1rem }
#summary { font-size: 1.35rem; margin: .2rem 0 } .quiet, small { color: var(--quiet) }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
tbody th, td:nth-child(2) { white-space: nowrap } thead th { font-weight: 600; color: var(--quiet) } tbody th { font-weight: 600 }
td.alarm, .alarms b { color: var(--alarm); font-weight: 700 } td.waiting { color: var(--waiting) }
td.coming { color: var(--coming) } td.silent { color: var(--silent) } td.serving { color: var(--serving) }
.alarms { border-left: .35rem solid var(--alarm); padding-left: .8rem; margin: 1rem 0 }
.alarms h2 { margin-top: 0 } .detail { border: 1px solid var(--line); padding: .2rem 1rem; margin: 1rem 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem } dt { color: var(--quiet) } dd { margin: 0 }
.racks { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .8rem }
.racks section { border: 1px solid var(--line); border-radius: .3rem; padding: .5rem }
.racks ul, .filters { list-style: none; padding: 0; margin: .3rem 0 0 }
.racks li { border-left: .35rem solid; padding-left: .5rem; margin: .15rem 0; display: flex; justify-content: space-between }
.racks .alarm { border-color: var(--alarm) } .racks .waiting { border-color: var(--waiting) }
.racks .coming { border-color: var(--coming) } .racks .silent { border-color: var(--line) }
.racks .serving { border-color: var(--serving) }
.filters { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin-bottom: .6rem } [aria-current] { font-weight: 700 }
#refresh { float: right; color: var(--quiet); margin: 0 } .unseen { position: absolute; clip-path: inset(50%) }
.skip:not(:focus) { position: absolute; clip-path: inset(50%) } progress { width: 5rem; height: .7rem }
@media print { #refresh, .filters { display: none } }
`

/** The page asks for itself anew and changes what changed; whoever reads can make it hold still. */
export const PAGE_SCRIPT = `
'use strict'
const [button, note] = document.getElementById('refresh').children
const live = document.getElementById('live')
document.getElementById('refresh').hidden = false
const isHeld = () => button.getAttribute('aria-pressed') === 'true'
button.addEventListener('click', () => {
  button.setAttribute('aria-pressed', String(!isHeld()))
  note.textContent = isHeld() ? 'held' : ''
})
async function renew() {
  try {
    const answer = await fetch(location.href, { cache: 'no-store' })
    if (!answer.ok) throw new Error(answer.status)
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html')
    const main = document.querySelector('main')
    const focused = main.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null
    const before = document.getElementById('summary').textContent
    main.replaceWith(document.adoptNode(next.querySelector('main')))
    document.title = next.title
    const after = document.getElementById('summary').textContent
    if (before !== after) live.textContent = after
    if (focused !== null) document.querySelector('main a[href="' + CSS.escape(focused) + '"]')?.focus({ preventScroll: true })
    note.textContent = ''
  } catch {
    note.textContent = 'the witness does not answer: this is how it stood'
  }
}
setInterval(() => { if (!isHeld() && !document.hidden) void renew() }, 2000)
`
