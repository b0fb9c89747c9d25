import { Client } from 'pg';
import { decodeMessage } from '../../../engines/ysql/archive/messages.ts';
import {
  isoOfMicros,
  type Lsn,
  lsnOf,
  parseLsn,
  type StoredSegment,
  type Timeline,
} from '../../../model/archive.ts';
import { putSegment, putTimeline } from '../../../repository/archive/archive.ts';
import { compressFrame } from '../../../repository/backups/zstd-frames.ts';
import type { Store } from '../../../repository/store.ts';
import type { Dice } from '../../crash/dice.ts';
import { query } from '../../support/sql.ts';
import { TABLES } from './source.ts';

/*
 * Makes an archive of a real slot's changes as the format says, without the product's own capture: so that reading back is tested
 * against PostgreSQL's messages alone.
 */

export interface TestArchive {
  readonly timeline: Timeline;
  /** Stores what was committed since, cut into segments of any size. */
  record(dice: Dice): Promise<readonly StoredSegment[]>;
}

const SLOT = 'holdfast_test';

/** Makes slot and publication; call before the first base and the first change that is to be archived. */
export async function beginArchive(
  url: string,
  store: Store,
  id: { readonly plan: string; readonly database: string },
): Promise<TestArchive> {
  await query(url, `CREATE PUBLICATION ${SLOT} FOR ALL TABLES`);
  const [slot] = await query(
    url,
    `SELECT lsn::text AS lsn FROM pg_create_logical_replication_slot('${SLOT}', 'pgoutput')`,
  );
  const [place] = await query(
    url,
    `SELECT pg_current_snapshot()::text AS xids, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text AS micros`,
  );
  const startLsn = parseLsn(String(slot?.lsn)) ?? '';
  const timeline: Timeline = {
    formatVersion: 1,
    id: `t-${startLsn}`,
    ...id,
    systemIdentifier: '1',
    databaseOid: 1,
    slot: SLOT,
    plugin: 'pgoutput',
    publication: SLOT,
    serverVersion: '15',
    tables: TABLES.map((table) => ({
      table: table.replaceAll('""', "'").replaceAll('"', '').replaceAll("'", '"'),
      identity: 'default',
    })),
    notArchived: [],
    startLsn,
    createdAt: isoOfMicros(Number(place?.micros)),
    snapshotXids: String(place?.xids),
    schemaFingerprint: 'f',
  };
  await putTimeline(store, timeline);
  const recorder = new Recorder(url, store, timeline);
  return { timeline, record: (dice) => recorder.record(dice) };
}

class Recorder {
  readonly #url: string;
  readonly #store: Store;
  readonly #timeline: Timeline;
  #end: Lsn;
  /** Relation messages known so far, by oid. */
  readonly #relations = new Map<number, Buffer>();

  constructor(url: string, store: Store, timeline: Timeline) {
    this.#url = url;
    this.#store = store;
    this.#timeline = timeline;
    this.#end = timeline.startLsn;
  }

  async record(dice: Dice): Promise<readonly StoredSegment[]> {
    const messages = await this.#messages();
    const stored: StoredSegment[] = [];
    let open: Buffer[] = [];
    let needed = new Set<number>();
    let commits: { endLsn: bigint; micros: bigint }[] = [];
    for (const data of messages) {
      const message = decodeMessage(data);
      if (message.kind === 'relation') this.#relations.set(message.oid, data);
      if ('oid' in message) needed.add(message.oid);
      if (message.kind === 'truncate') for (const oid of message.oids) needed.add(oid);
      open.push(data);
      if (message.kind !== 'commit') continue;
      commits.push({ endLsn: message.endLsn, micros: message.commitMicros });
      if (dice.chance(0.93)) continue;
      stored.push(await this.#put(open, needed, commits));
      [open, needed, commits] = [[], new Set(), []];
    }
    if (commits.length > 0) stored.push(await this.#put(open, needed, commits));
    return stored;
  }

  /** Messages of transactions that end after the archive's end: the slot gives all of them each time. */
  async #messages(): Promise<readonly Buffer[]> {
    const client = new Client({ connectionString: this.#url });
    await client.connect();
    try {
      await client.query("SET TimeZone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = hex");
      const { rows } = await client.query<{ data: Buffer }>(
        `SELECT data FROM pg_logical_slot_peek_binary_changes('${SLOT}', NULL, NULL, 'proto_version', '1', 'publication_names', '${SLOT}')`,
      );
      let isNew = false;
      return rows.flatMap(({ data }) => {
        const message = decodeMessage(data);
        if (message.kind === 'begin') isNew = lsnOf(message.commitLsn) >= this.#end;
        if (message.kind === 'relation') this.#relations.set(message.oid, data);
        return isNew ? [data] : [];
      });
    } finally {
      await client.end();
    }
  }

  async #put(
    messages: readonly Buffer[],
    needed: ReadonlySet<number>,
    commits: readonly { endLsn: bigint; micros: bigint }[],
  ): Promise<StoredSegment> {
    const relations = [...needed].flatMap((oid) => this.#relations.get(oid) ?? []);
    const all = [...relations, ...messages];
    const endLsn = lsnOf(commits.at(-1)?.endLsn ?? 0n);
    const micros = commits.map((commit) => Number(commit.micros));
    const header = {
      formatVersion: 1,
      timeline: this.#timeline.id,
      startLsn: this.#end,
      endLsn,
      transactions: commits.length,
      messages: all.length,
      sequences: [{ schema: 'public', name: 'indexed_id_seq', lastValue: '70000' }],
    };
    const frames = all.map((data) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(data.length);
      return Buffer.concat([length, data]);
    });
    const body = compressFrame(Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...frames]), 1);
    const segment = await putSegment(
      this.#store,
      this.#timeline,
      this.#timeline.id,
      {
        startLsn: this.#end,
        endLsn,
        minCommitMicros: Math.min(...micros),
        maxCommitMicros: Math.max(...micros),
      },
      body,
    );
    this.#end = endLsn;
    return segment;
  }
}
