import { padded, row } from '../format.ts';
import { type Imported, importSnapshot } from '../importing.ts';
import { decodeMetadata } from '../metadata.ts';
import { Failure } from '../status.ts';
import { type Call, type Operation, parseNamespace } from './operation.ts';

export const importOperations: readonly Operation[] = [
  {
    name: 'import_snapshot',
    usage: '<file_name> [<namespace> [<table_name>]...]',
    arity: [1, 1000],
    prefix: ([file = '']) => `Unable to import snapshot meta file ${file}`,
    run: async (call) => ({ stdout: await imported(call) }),
  },
];

async function imported({ world, args: [file = '', name], files }: Call): Promise<string> {
  const bytes = files.get(file);
  if (bytes === undefined)
    throw new Failure('Not found', `${file}: No such file or directory (system error 2)`);
  const metadata = decodeMetadata(bytes);
  const { kind } = metadata.namespace;
  const target = name === undefined ? metadata.namespace.name : parseNamespace(name).name;
  const result = await importSnapshot(world, metadata, target);
  const type = kind === 'ysql' ? 'YSQL database' : 'YCQL keyspace';
  return [
    `Read snapshot meta file ${file}\n`,
    `Importing snapshot ${metadata.snapshot.id} (${metadata.snapshot.state})\n`,
    ...(name !== undefined && world.profile.newTexts
      ? [`Target imported ${type} name: ${target}\n`, `${type} being imported: ${metadata.namespace.name}\n`]
      : []),
    ...result.tables.map((table) =>
      announced(table, metadata.namespace.name, name === undefined ? undefined : target),
    ),
    'Successfully applied snapshot.\n',
    mapping(result, metadata.namespace.id, metadata.snapshot.id),
  ].join('');
}

type ImportedTable = Imported['tables'][number];

function announced({ old }: ImportedTable, from: string, to: string | undefined): string {
  const colocated = old.parentId !== undefined || old.kind === 'parent';
  const word = colocated ? 'colocated ' : '';
  const type =
    old.kind === 'index'
      ? `${word}index (attaching to the old table id ${old.indexedTableId})`
      : `${word}table`;
  return [
    `Table type: ${type}\n`,
    ...(to === undefined ? [] : [`Target imported ${word}table name: ${to}.${old.name}\n`]),
    `${colocated ? 'Colocated table' : 'Table'} being imported: ${from}.${old.name}\n`,
  ].join('');
}

/** Prints the mapping of ids. It repeats the `Keyspace` row before each table, restarts the tablets' numbers at each table, and calls an index a `Table`. */
function mapping(
  { snapshot, namespace, tables }: Imported,
  oldNamespace: string,
  oldSnapshot: string,
): string {
  const line = (label: string, oldId: string, newId: string): string => row(padded(label, 16), oldId, newId);
  const rows = tables.flatMap(({ old, table, tablets }) => [
    line('Keyspace', oldNamespace, namespace.id),
    line(label(old), old.id, table.id),
    // The facts don't say whether a colocated child has a row for its parent's tablet; here it has none.
    ...tablets.map(([oldId, newId], index) => line(`Tablet ${index}`, oldId, newId)),
  ]);
  const header = row(padded('Object', 16), padded('Old ID', 32), padded('New ID', 32));
  return header + rows.join('') + line('Snapshot', oldSnapshot, snapshot.id);
}

function label({ kind, parentId }: ImportedTable['old']): string {
  if (kind === 'parent') return 'ParentColocatedTable';
  return parentId === undefined ? 'Table' : 'ColocatedTable';
}
