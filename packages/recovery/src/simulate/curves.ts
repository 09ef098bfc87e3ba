/** The curves of a recovery as an SVG file that needs nothing else. */
import type { CurvePoint } from './outcome.ts'

const WIDTH = 800
const HEIGHT = 420
const MARGIN = { left: 70, right: 20, top: 40, bottom: 50 }
const LINES = [
  ['powered', 'power is back', '#999999', '2 3'],
  ['running', 'agent runs', '#2a6fbb', '6 3'],
  ['released', 'released', '#1a7f37', ''],
] as const

/** @param title - In words; whatever it has is escaped. */
export function curvesSvg(points: readonly CurvePoint[], title: string): string {
  const endS = points.at(-1)?.atS ?? 1
  const most = Math.max(1, ...points.map(({ powered }) => powered))
  const x = (atS: number): number => MARGIN.left + (atS / endS) * (WIDTH - MARGIN.left - MARGIN.right)
  const y = (hosts: number): number => HEIGHT - MARGIN.bottom - (hosts / most) * (HEIGHT - MARGIN.top - MARGIN.bottom)
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<text x="${MARGIN.left}" y="22" font-size="14">${escaped(title)}</text>`,
  ]
  for (let i = 0; i <= 5; i++) {
    const hosts = (most * i) / 5
    const minutes = (endS / 60) * (i / 5)
    parts.push(
      `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${fixed(y(hosts))}" y2="${fixed(y(hosts))}" stroke="#e5e5e5"/>`,
      `<text x="${MARGIN.left - 8}" y="${fixed(y(hosts) + 4)}" text-anchor="end">${Math.round(hosts)}</text>`,
      `<text x="${fixed(x((endS * i) / 5))}" y="${HEIGHT - MARGIN.bottom + 18}" text-anchor="middle">${minutes.toFixed(1)}</text>`,
    )
  }
  parts.push(`<text x="${WIDTH / 2}" y="${HEIGHT - 12}" text-anchor="middle">minutes since the outage began</text>`)
  for (const [i, [key, name, colour, dashes]] of LINES.entries()) {
    const path = points
      .map((point, j) => `${j === 0 ? 'M' : 'L'}${fixed(x(point.atS))} ${fixed(y(point[key]))}`)
      .join('')
    const legendX = WIDTH - MARGIN.right - 330 + i * 115
    parts.push(
      `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2" stroke-dasharray="${dashes}"/>`,
      `<line x1="${legendX}" x2="${legendX + 22}" y1="32" y2="32" stroke="${colour}" stroke-width="2" stroke-dasharray="${dashes}"/>`,
      `<text x="${legendX + 27}" y="36">${name}</text>`,
    )
  }
  return `${[...parts, '</svg>'].join('\n')}\n`
}

function fixed(value: number): string {
  return value.toFixed(1)
}

function escaped(text: string): string {
  return text.replaceAll(/[<>&"']/g, (char) => `&#${char.charCodeAt(0)};`)
}
