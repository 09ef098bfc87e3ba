export { DirtyPages } from './dirty-pages.ts'
export { dirtyPagesChoice, startScanner, type DirtyPagesChoice, type Scanner } from './start.ts'
export { WHILE_SMALL, type DirtyPagesMethod } from './method.ts'
