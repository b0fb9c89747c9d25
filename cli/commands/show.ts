import type { Command } from 'commander';
import type { ReadPoint } from '../../model/backup.ts';
import { lossesIn, uncutIn } from '../../model/manifest.ts';
import { describeRows, rowsOf, rowsOfTable } from '../../model/rows.ts';
import { HERE } from '../here.ts';
import { type CommonOptions, emit, print, runCommand } from '../output.ts';

export function register(program: Command): void {
  program
    .command('show')
    .argument('<plan>', 'a plan’s name or file')
    .argument('<backup>', 'a backup’s id (holdfast list shows them)')
    .description('what one backup holds: read point, server, tables with rows and bytes')
    .option('--json', 'the manifest as one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast show plans/orders.yaml 20261123T034813Z-ab12cd')
    .action((argument: string, backup: string, options: CommonOptions) =>
      runCommand(options, () => run(argument, backup, options)),
    );
}

async function run(argument: string, backup: string, options: CommonOptions) {
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { readBackup } = await import('../../library/backups.ts');
  const { formatAmount, formatBytes } = await import('../../model/amounts.ts');
  const plan = await resolvePlan(argument);
  const { manifest, signer } = await readBackup(HERE, plan, backup);
  if (options.json) {
    emit(manifest);
    return undefined;
  }
  const { totals, newBytes, server, readPoint, scanned, writtenBy } = manifest;
  print(`backup      ${manifest.backup} of ${manifest.plan}`);
  print(
    scanned === undefined
      ? `data of     ${readPoint.takenAt} (${readPoint.kind}, epoch ${readPoint.epoch})${reasonOf(readPoint)}`
      : `data of     ${scanned.from} to ${scanned.to} (a scan, not one instant; epoch ${readPoint.epoch})`,
  );
  print(`made        ${manifest.startedAt} to ${manifest.completedAt} by holdfast ${writtenBy.holdfast}`);
  if (signer !== undefined) print(`signed by   ${signer}`);
  print(`server      ${server.product} ${server.version}`);
  print(
    `holds       ${describeRows(rowsOf(manifest))} in ${formatAmount(totals.tables, 'table')}, ${formatBytes(totals.bytes)} ` +
      `stored as ${formatBytes(totals.storedBytes)} in ${formatAmount(totals.objects, 'object')}` +
      (newBytes === undefined ? '' : `, ${formatBytes(newBytes)} of it new`),
  );
  for (const [index, database] of manifest.databases.entries()) {
    const api = manifest.universe?.snapshots[index]?.api ?? manifest.engine;
    print(
      api === 'ycql'
        ? `\nkeyspace ${database.name}`
        : `\ndatabase ${database.name} (${database.encoding}, ${database.collate}, owner ${database.owner})`,
    );
    for (const table of database.tables) {
      const name = table.schema === '' ? table.table : `${table.schema}.${table.table}`;
      print(`  ${name}  ${describeRows(rowsOfTable(manifest, table))}  ${formatBytes(table.bytes)}`);
    }
  }
  const losses = lossesIn(manifest);
  if (losses.length > 0) print('\nnot carried');
  for (const loss of losses) print(`  ${loss}`);
  const uncut = uncutIn(manifest);
  if (uncut.length > 0) print('\nread in one piece, which a crash sends again');
  for (const table of uncut) print(`  ${table}`);
  return undefined;
}

function reasonOf(readPoint: ReadPoint): string {
  const reason = readPoint.kind === 'pg-snapshot' ? readPoint.reason : undefined;
  return reason === undefined ? '' : `, since ${reason}`;
}
