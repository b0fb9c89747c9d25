import { defined } from '../../../model/defined.ts';
import { HoldfastError } from '../../../model/errors.ts';
import { ifKnown, unreadable } from './errors.ts';
import type { YbAdmin } from './program.ts';
import { field } from './text.ts';
import { universeConfig } from './upkeep.ts';

/** What `yb-admin` says of others that use a universe: change data capture, xCluster replication, encryption at rest. */

/** One stream of changes: of change data capture (including what a replication slot reads), or of xCluster to another universe. */
export interface ChangeStream {
  readonly id: string;
  readonly tables: readonly string[];
  /** Undefined where the build doesn't print it. */
  readonly namespaceId?: string;
  /** The replication slot that reads it. */
  readonly slot?: string;
}

/** Streams of change data capture (yb-admin_client.cc, `ListCDCSDKStreams`). */
export async function changeDataStreams(admin: YbAdmin): Promise<readonly ChangeStream[]> {
  return parseStreams('list_change_data_streams', await admin.run('list_change_data_streams', []));
}

/** Streams that xCluster sends to other universes, one a table (`ListCDCStreams`). */
export async function outboundStreams(admin: YbAdmin): Promise<readonly ChangeStream[]> {
  return parseStreams('list_cdc_streams', await admin.run('list_cdc_streams', []));
}

/** The text form of `ListCDCStreamsResponsePB` after the line `CDC Streams:`. Throws `YB_ADMIN_UNREADABLE`. */
export function parseStreams(operation: string, output: string): readonly ChangeStream[] {
  const begin = output.indexOf('CDC Streams:');
  if (begin < 0) throw unreadable(operation, output, 'line "CDC Streams:"');
  return output
    .slice(begin)
    .split(/^streams \{/m)
    .slice(1)
    .map((block) => {
      const id = textIn(block, 'stream_id');
      if (id === undefined) throw unreadable(operation, output, 'stream_id in every stream');
      const namespaceId = textIn(block, 'namespace_id');
      const slot = textIn(block, 'cdcsdk_ysql_replication_slot_name');
      const tables = [...block.matchAll(/^\s*table_id: "([^"]*)"/gm)].map(([, table = '']) => table);
      return {
        id,
        tables,
        ...defined({ namespaceId, slot }),
      };
    });
}

function textIn(block: string, name: string): string | undefined {
  return new RegExp(`^\\s*${name}: "([^"]*)"`, 'm').exec(block)?.[1];
}

/** A replication group that brings changes from another universe into this one. */
interface InboundGroup {
  readonly name: string;
  /** Ids of databases (YSQL) and tables that it writes; undefined where the build doesn't list them. */
  readonly writes?: readonly string[];
}

/**
 * Groups that bring changes in. In builds without `list_universe_replications` (2.18), the universe's configuration (`consumerRegistry`) has their
 * names, but not what they write.
 */
export async function inboundGroups(admin: YbAdmin): Promise<readonly InboundGroup[]> {
  const output = await ifKnown(admin.run('list_universe_replications', []));
  if (output === undefined) {
    const registry = field(await universeConfig(admin), 'consumerRegistry');
    const producers = field(registry, 'producerMap');
    return typeof producers === 'object' && producers !== null
      ? Object.keys(producers).map((name) => ({ name }))
      : [];
  }
  const groups: InboundGroup[] = [];
  for (const name of parseGroups('list_universe_replications', output)) {
    const info = await admin.run('get_universe_replication_info', [name]);
    groups.push({ name, writes: parseWritten(info) });
  }
  return groups;
}

/** Names of the groups that send a YSQL database elsewhere. Empty in builds without such groups. */
export async function outboundGroups(admin: YbAdmin, namespaceId: string): Promise<readonly string[]> {
  const operation = 'list_xcluster_outbound_replication_groups';
  const output = await ifKnown(admin.run(operation, [namespaceId]));
  return output === undefined ? [] : parseGroups(operation, output);
}

/** `1 Universe Replication Groups found: ` and then `[a, b]`. Throws `YB_ADMIN_UNREADABLE`. */
export function parseGroups(operation: string, output: string): readonly string[] {
  const [, count, names] = /^(\d+) \w+ Replication Groups found[^\n]*\n\[([^\]]*)\]/m.exec(output) ?? [];
  const found = (names ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  if (count === undefined || Number(count) !== found.length) {
    throw unreadable(operation, output, 'list of replication groups');
  }
  return found;
}

/** The ids on this side: the first column of the tables, and the second of the databases. */
function parseWritten(output: string): readonly string[] {
  const [databases = '', tables = ''] = output.split(/^Tables:$/m);
  const columns = (text: string) =>
    text.split('\n').map((line) => line.split(/\t+/).map((cell) => cell.trim()));
  return [
    ...columns(databases).flatMap(([, target]) => target ?? []),
    ...columns(tables).flatMap(([target]) => target ?? []),
  ].filter((id) => /^[0-9a-f]{32}/.test(id));
}

/** Id of the key that files are encrypted with; undefined if they aren't encrypted. */
export async function encryptionKey(admin: YbAdmin): Promise<string | undefined> {
  return parseEncryption(await admin.run('is_encryption_enabled', []));
}

/** `Encryption status: ENABLED with key id K`, or `DISABLED` (yb-admin_client.cc, `IsEncryptionEnabled`). */
export function parseEncryption(output: string): string | undefined {
  const [, state, key] = /Encryption status: (ENABLED|DISABLED)(?: with key id (\S+))?/.exec(output) ?? [];
  if (state === 'DISABLED') return undefined;
  if (key === undefined) throw unreadable('is_encryption_enabled', output, '"Encryption status"');
  return key;
}

/** Undefined if every master has the key in memory; otherwise what yb-admin said. */
export async function missingKey(admin: YbAdmin, key: string): Promise<string | undefined> {
  try {
    await admin.run('all_masters_have_universe_key_in_memory', [key]);
    return undefined;
  } catch (error) {
    if (error instanceof HoldfastError && /does not have universe key in memory/.test(error.message)) {
      return error.message;
    }
    throw error;
  }
}
