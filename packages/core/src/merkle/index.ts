export {
  DIGEST_BYTES,
  digestCount,
  HashTree,
  inclusionPath,
  inclusionPaths,
  PAGE_BYTES,
  rootFromPath,
  treeHash,
  treeRoot,
  type TreeHash,
  type TreeKind,
} from './tree.ts'
export { pageCount, pagesRoot, PageTree } from './pages.ts'
