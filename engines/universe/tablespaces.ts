import type { Session } from '../ysql/server/session.ts';
import { field, listField, textField } from './yb-admin/text.ts';

/** A place that a tablespace wants replicas in, or that a node is in. */
export interface Place {
  readonly cloud: string;
  readonly region: string;
  readonly zone: string;
}

/** A tablespace as `pg_tablespace` lists it. */
export interface Tablespace {
  readonly name: string;
  /** `replica_placement={…}` and others; null if it has none. */
  readonly options: readonly string[] | null;
}

/** Tablespaces, each with its places that have no node any more, as `cloud.region.zone`. */
export async function tablespacesWithoutNodes(
  session: Session,
): Promise<readonly { readonly name: string; readonly places: readonly string[] }[]> {
  const tablespaces = await session.query<Tablespace>(
    'look where tablespaces want their replicas',
    "SELECT spcname AS name, spcoptions AS options FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY spcname",
  );
  if (tablespaces.length === 0) return [];
  const nodes = await session.query<Place>(
    'ask where the nodes are',
    'SELECT DISTINCT cloud, region, zone FROM yb_servers()',
  );
  return tablespaces.flatMap(({ name, options }) => {
    const places = placesWithoutNodes(options, nodes);
    return places.length === 0 ? [] : [{ name, places }];
  });
}

/**
 * The places in a tablespace's `replica_placement` that have no node (documentation, "Tablespaces": `{"num_replicas": 3, "placement_blocks":
 * [{"cloud":…, "region":…, "zone":…, "min_num_replicas": 1}]}`). `*` stands for any.
 */
export function placesWithoutNodes(
  options: readonly string[] | null,
  nodes: readonly Place[],
): readonly string[] {
  const prefix = 'replica_placement=';
  const text = (options ?? []).find((option) => option.startsWith(prefix));
  if (text === undefined) return [];
  let placement: unknown;
  try {
    placement = JSON.parse(text.slice(prefix.length));
  } catch {
    return [`what can't be read: ${text}`];
  }
  const fits = (wanted: string | undefined, has: string) =>
    wanted === undefined || wanted === '*' || wanted === has;
  return listField(placement, 'placement_blocks')
    .filter((block) => field(block, 'min_num_replicas') !== 0)
    .filter(
      (block) =>
        !nodes.some(
          ({ cloud, region, zone }) =>
            fits(textField(block, 'cloud'), cloud) &&
            fits(textField(block, 'region'), region) &&
            fits(textField(block, 'zone'), zone),
        ),
    )
    .map((block) => ['cloud', 'region', 'zone'].map((key) => textField(block, key) ?? '*').join('.'));
}
