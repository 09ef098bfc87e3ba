export {
  DIGEST_BYTES,
  HashTree,
  inclusionPath,
  inclusionPaths,
  rootFromPath,
  treeHash,
  treeRoot,
  type TreeHash,
  type TreeKind,
} from './tree.ts'
export { PAGE_BYTES, pageCount, pagesRoot, PageTree } from './pages.ts'
