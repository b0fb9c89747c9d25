import { permanent } from '../../../model/errors.ts';
import { isInvalid, isUnauthorized } from '../errors.ts';
import { allColumns } from '../schema.ts';
import type { CqlSession } from '../session.ts';
import type { KeyspaceJob } from './job.ts';

/** The settings of Cassandra's nodes that each kind of object needs. */
const NEEDED = {
  views: 'materialized_views_enabled',
  functions: 'user_defined_functions_enabled',
  masks: 'dynamic_data_masking_enabled',
} as const;

/**
 * Throws `RESTORE_FEATURE_OFF` (permanent) if the backup has materialized views, functions or masks and the target's nodes don't allow them: the
 * restore would fail at them, after loading its rows. Passes servers that don't report their settings.
 */
export async function checkFeatures(
  keyspaces: readonly KeyspaceJob[],
  session: CqlSession,
  signal: AbortSignal,
): Promise<void> {
  if (session.server.product !== 'cassandra') return;
  const wanted = new Map<string, string[]>();
  const want = (setting: string, what: string) => wanted.set(setting, [...(wanted.get(setting) ?? []), what]);
  for (const { schema, tables, views } of keyspaces) {
    for (const { table } of views) want(NEEDED.views, `materialized view ${table.name}`);
    for (const { name } of [...(schema.functions ?? []), ...(schema.aggregates ?? [])])
      want(NEEDED.functions, `function ${name}`);
    for (const table of tables) {
      if (allColumns(table).some(({ mask }) => mask !== undefined))
        want(NEEDED.masks, `masks of ${table.name}`);
    }
  }
  for (const [setting, objects] of wanted) {
    if ((await settingOf(session, setting, signal)) !== 'false') continue;
    throw permanent(
      'RESTORE_FEATURE_OFF',
      `The target has \`${setting}: false\`, and the backup has ${[...new Set(objects)].join(', ')}`,
      `Set \`${setting}: true\` in cassandra.yaml of every node; views and tables can be left out (--exclude-tables KEYSPACE.NAME).`,
    );
  }
}

async function settingOf(
  session: CqlSession,
  name: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const [row] = await session.query<{ value: string | null }>(
      `see the setting ${name}`,
      'SELECT value FROM system_views.settings WHERE name = ?',
      [name],
      signal,
    );
    return row?.value ?? undefined;
  } catch (error) {
    if (error instanceof Error && (isInvalid(error.cause) || isUnauthorized(error.cause))) return undefined;
    throw error;
  }
}
