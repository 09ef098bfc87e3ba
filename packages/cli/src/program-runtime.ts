/** `reprise runtime`: commands and their options. */
import { Option, type Command } from 'commander'
import { acting } from './acting.ts'

/** @param jobs - Reads a number of processes. */
export function addRuntime(program: Command, jobs: (text: string) => number): void {
  const json = (): Option => new Option('--json', 'answer with one JSON document on stdout')
  const runtime = program.command('runtime').description('language runtimes that are built for the machine')
  runtime
    .command('build')
    .description('build a runtime from its recipe, and install it; what was interrupted is gone on with')
    .argument('<name>', 'of the recipe; see: reprise runtime list')
    .option('--with <components>', 'only these of its components, separated by commas, or none (default: all)')
    .option('--sources <folder>', 'a folder that has the sources, instead of the network')
    .option('--jobs <n>', 'how many compilers at the same time (default: as many as there are processors)', jobs)
    .option('--again', 'from the beginning, although it is there')
    .addOption(json())
    .action(acting('runtime build', () => import('./commands/runtime-build.ts')))
  runtime
    .command('list')
    .description('what is installed, and what can be built')
    .addOption(json())
    .action(acting('runtime list', () => import('./commands/runtime-list.ts')))
  runtime
    .command('show')
    .description('what a runtime is made of')
    .argument('<runtime>', 'its name, or the beginning of its id')
    .addOption(json())
    .action(acting('runtime show', () => import('./commands/runtime-show.ts')))
  runtime
    .command('verify')
    .description('whether the files of a runtime are what its manifest says, and its lock')
    .argument('[runtime]', 'its name, or the beginning of its id (default: all)')
    .addOption(json())
    .action(acting('runtime verify', () => import('./commands/runtime-verify.ts')))
  runtime
    .command('export')
    .description('a runtime as one file, for another machine')
    .argument('<runtime>', 'its name, or the beginning of its id')
    .option('-o, --output <file>', 'the file to write (default: NAME-VERSION.runtime)')
    .addOption(json())
    .action(acting('runtime export', () => import('./commands/runtime-export.ts')))
  runtime
    .command('import')
    .description('install a runtime that was exported')
    .argument('<file>')
    .addOption(json())
    .action(acting('runtime import', () => import('./commands/runtime-import.ts')))
  runtime
    .command('gc')
    .description('show older builds and what building left behind; with --yes, delete them')
    .option('--yes', 'delete it')
    .option('--keep-builds', 'leave sources and the folders of builds')
    .addOption(json())
    .action(acting('runtime gc', () => import('./commands/runtime-gc.ts')))
}
