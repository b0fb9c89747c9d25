import { synchronize } from '../catalog.ts';
import type { NamespaceState, TableState } from '../state.ts';
import { Failure } from '../status.ts';
import type { World } from '../world.ts';

/** One call of yb-admin, as its process sends it to the leading master. */
export interface Call {
  readonly world: World;
  readonly args: readonly string[];
  /** Zone of the machine that runs yb-admin. */
  readonly timezone: string;
  readonly excludeDead: boolean;
  /** Contents of the files that the arguments name, by argument. */
  readonly files: ReadonlyMap<string, Buffer>;
}

export interface Answer {
  readonly stdout: string;
  /** Files that yb-admin writes where it runs. */
  readonly writes?: readonly { readonly path: string; readonly content: Buffer }[];
}

export interface Operation {
  readonly name: string;
  /** The text after the name in its usage. */
  readonly usage: string;
  readonly arity: readonly [number, number];
  /** False when this release line doesn't have it. */
  readonly known?: (world: World) => boolean;
  /** `Unable to …`, which precedes every error message. */
  readonly prefix: (args: readonly string[]) => string;
  readonly run: (call: Call) => Promise<Answer>;
}

/** The failure for a wrong number or kind of arguments. */
export function usageFailure(): Failure {
  return new Failure('Invalid argument', 'Invalid arguments for operation');
}

/** Parses `[ycql.|ysql.]name`. */
export function parseNamespace(text: string): { readonly kind: 'ysql' | 'ycql'; readonly name: string } {
  const [, kind, name] = /^(ysql|ycql)\.(.*)$/s.exec(text) ?? [];
  if (kind !== undefined && name !== undefined) return { kind: kind === 'ysql' ? 'ysql' : 'ycql', name };
  return { kind: 'ycql', name: text };
}

/** Returns the namespace that an argument names, after updating the state from SQL. */
export async function resolveNamespace(world: World, text: string): Promise<NamespaceState> {
  await synchronize(world);
  const { kind, name } = parseNamespace(text);
  const found = world.state.namespaces.find(
    (other) => other.kind === kind && other.name === name && !other.gone,
  );
  if (found !== undefined) return found;
  throw new Failure('Invalid argument', `Namespace '${name}' of type '${kind}' not found`);
}

/** Resolves `<ns> <table>` or `tableid.<id>`; returns the table and the remaining arguments. */
export async function resolveTable(
  world: World,
  args: readonly string[],
): Promise<{ readonly table: TableState; readonly rest: readonly string[] }> {
  const [first = '', second] = args;
  if (first.startsWith('tableid.')) {
    await synchronize(world);
    const id = first.slice('tableid.'.length);
    const table = world.state.tables.find((other) => other.id === id);
    if (table === undefined) throw new Failure('Invalid argument', `Table with id '${id}' not found`);
    return { table, rest: args.slice(1) };
  }
  if (second === undefined) throw new Failure('Invalid argument', 'Empty list of tables');
  const namespace = await resolveNamespace(world, first);
  const found = world.state.tables.filter(
    ({ namespaceId, name }) => namespaceId === namespace.id && name === second,
  );
  const [table, other] = found;
  if (table === undefined)
    throw new Failure(
      'Invalid argument',
      `Table with name '${second}' not found in namespace '${namespace.name}'`,
    );
  if (other !== undefined) {
    throw new Failure(
      'Invalid argument',
      `Namespace '${namespace.name}' has multiple tables named '${second}', specify table id instead`,
    );
  }
  return { table, rest: args.slice(2) };
}
