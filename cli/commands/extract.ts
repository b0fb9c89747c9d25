import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import type { Command } from 'commander';
import type { ExtractedRow } from '../../engines/ycql/extract.ts';
import { formatAmount } from '../../model/amounts.ts';
import { HERE } from '../here.ts';
import { type CommonOptions, EXIT, emit, runCommand, say, UsageError } from '../output.ts';

interface Options extends CommonOptions {
  readonly table: string;
  readonly format: string;
  readonly times?: boolean;
  readonly output?: string;
  readonly trustUnsigned?: boolean;
}

export function register(program: Command): void {
  program
    .command('extract')
    .argument('<plan>', 'a plan’s name or file')
    .argument('<backup>', 'a backup’s id (holdfast list shows them)')
    .description('the rows of one table of a YCQL backup as text, exact for every type; no database needed')
    .requiredOption('--table <keyspace.table>', 'which table')
    .option('--format <format>', 'jsonl (one JSON object a line) or csv', 'jsonl')
    .option('--times', 'also each cell’s time of writing (microseconds) and expiry')
    .option('--trust-unsigned', 'this once, also what no trusted key signed')
    .option('--output <file>', 'into a file instead of stdout')
    .option('--json', 'one JSON document on stdout about what was written; needs --output')
    .addHelpText(
      'after',
      '\nExample:\n  holdfast extract plans/shop.yaml 20261123T034813Z-ab12cd --table shop.orders > orders.jsonl',
    )
    .action((argument: string, backup: string, options: Options) =>
      runCommand(options, () => run(argument, backup, options)),
    );
}

async function run(argument: string, backup: string, options: Options) {
  const { table, format, output, times = false } = options;
  if (format !== 'jsonl' && format !== 'csv') {
    throw new UsageError(`--format ${format} is not known`, 'Write --format jsonl or --format csv.');
  }
  if (options.json && output === undefined) {
    throw new UsageError(
      '--json and the rows would both go to stdout',
      'Name a file for the rows: --output FILE.',
    );
  }
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { requireBackup, withStore } = await import('../../library/backups.ts');
  const { readManifest } = await import('../../repository/backups/manifest.ts');
  const { extractedColumns, extractRows } = await import('../../engines/ycql/extract.ts');
  const { withoutSigning } = await import('../without-signing.ts');
  const resolved = await resolvePlan(argument);
  const plan = options.trustUnsigned ? withoutSigning(resolved) : resolved;
  await requireBackup(HERE, plan, backup);
  const rows = await withStore(HERE, plan.pipeline.repository, async (store) => {
    const manifest = await readManifest(store, { plan: plan.name, backup });
    const columns = await extractedColumns(store, manifest, table, { times });
    const target = output === undefined ? process.stdout : createWriteStream(output);
    const write = async (line: string) => {
      if (!target.write(`${line}\n`)) await once(target, 'drain');
    };
    let count = 0;
    if (format === 'csv') await write(columns.map(csvCell).join(','));
    for await (const row of extractRows(store, manifest, table, { times })) {
      await write(format === 'csv' ? csvLine(columns, row) : JSON.stringify(row));
      count += 1;
    }
    if (target !== process.stdout) {
      target.end();
      await finished(target);
    }
    return count;
  });
  if (options.json) emit({ plan: plan.name, backup, table, format, rows, file: output });
  else say(`${formatAmount(rows, 'row')} of ${table}`);
  return EXIT.done;
}

function csvLine(columns: readonly string[], row: ExtractedRow): string {
  return columns.map((name) => csvCell(row[name] ?? null)).join(',');
}

/** One CSV field: null is an empty field, empty text is `""`, and a collection is quoted JSON. */
function csvCell(value: unknown): string {
  if (value === null) return '';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return `"${text.replaceAll('"', '""')}"`;
}
