/** Schemas for reading the JSON in a repository. They must agree with the types in `model/`. */
import { z } from 'zod';
import type {
  ChunkSpec,
  DataObject,
  KeyColumn,
  ObjectEntry,
  ReadPoint,
  TableId,
  TimeInterval,
} from '../model/backup.ts';
import type { Manifest, ManifestDatabase, ManifestTablets, ManifestUniverse } from '../model/manifest.ts';

const count = z.int().nonnegative();
const time = z.iso.datetime({ offset: true });
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits');

const objectEntryMembers = { key: z.string().min(1), sizeBytes: count, sha256 };

export const objectEntrySchema: z.ZodType<ObjectEntry> = z.object(objectEntryMembers);

const tableIdSchema: z.ZodType<TableId> = z.object({
  database: z.string(),
  schema: z.string(),
  table: z.string(),
});

const intervalSchema: z.ZodType<TimeInterval> = z.object({ from: time, to: time });

export const dataObjectSchema: z.ZodType<DataObject> = z.object({
  ...objectEntryMembers,
  at: count.exactOptional(),
  part: z.string().min(1).exactOptional(),
  table: tableIdSchema,
  columns: z.array(z.string()),
  rows: count,
  bytes: count,
  format: z.enum(['copy-text', 'copy-binary', 'cql-pages']).exactOptional(),
  types: z.array(z.string()).exactOptional(),
  readAt: intervalSchema.exactOptional(),
  expiring: count.exactOptional(),
  bare: count.exactOptional(),
  unread: z.array(z.string()).exactOptional(),
});

const readPointSchema: z.ZodType<ReadPoint> = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('yb-read-time'),
    epoch: count,
    micros: z.string().regex(/^\d+$/, 'must be digits'),
    takenAt: time,
  }),
  z.object({
    kind: z.literal('pg-snapshot'),
    epoch: count,
    snapshots: z.record(z.string(), z.string()),
    takenAt: time,
    reason: z.string().exactOptional(),
    tablesLockedAtOnce: count.exactOptional(),
    place: z
      .object({
        snapshotXids: z.record(z.string(), z.string()),
        walLsn: z.string().regex(/^[0-9A-F]{16}$/),
        seenBy: time,
      })
      .exactOptional(),
  }),
  z.object({
    kind: z.literal('universe-snapshot'),
    epoch: count,
    takenAt: time,
    databases: z.array(
      z.object({
        database: z.string(),
        api: z.enum(['ysql', 'ycql']),
        snapshot: z.string().exactOptional(),
        snapshotTime: z.string().exactOptional(),
        catalogVersion: z.string().exactOptional(),
        history: z
          .object({
            schedule: z.string(),
            from: z.string(),
            schemaSince: z.string().exactOptional(),
            catalogRose: z.boolean().exactOptional(),
          })
          .exactOptional(),
      }),
    ),
  }),
  z.object({ kind: z.literal('scan'), epoch: count, consistencyLevel: z.string(), takenAt: time }),
]);

export const databaseSchema: z.ZodType<ManifestDatabase> = z.object({
  name: z.string(),
  owner: z.string(),
  encoding: z.string(),
  collate: z.string(),
  ctype: z.string(),
  schemaObjects: z.array(objectEntrySchema),
  tables: z.array(
    z.object({
      schema: z.string(),
      table: z.string(),
      rows: count,
      rowsAre: z.enum(['estimated', 'unknown']).exactOptional(),
      holdsRows: z.literal(true).exactOptional(),
      bytes: count,
      objects: count,
      losses: z.array(z.string()).exactOptional(),
      uncut: z.string().exactOptional(),
      expiring: count.exactOptional(),
      bare: count.exactOptional(),
      unread: z.array(z.string()).exactOptional(),
    }),
  ),
  losses: z.array(z.string()).exactOptional(),
  hiddenCalls: z.array(z.string()).exactOptional(),
});

export const serverSchema: z.ZodType<Manifest['server']> = z.object({
  product: z.enum(['postgresql', 'yugabytedb', 'cassandra']),
  version: z.string(),
});

const tabletsSchema: z.ZodType<ManifestTablets> = z.object({
  lists: z.array(objectEntrySchema),
  count,
  files: count,
});

export const universeSchema: z.ZodType<ManifestUniverse> = z.object({
  clusterUuid: z.string().exactOptional(),
  snapshots: z.array(
    z.object({
      database: z.string(),
      api: z.enum(['ysql', 'ycql']),
      snapshot: z.string().exactOptional(),
      metadata: z.string().exactOptional(),
      takenAt: z.string().exactOptional(),
      catalogVersion: z.string().exactOptional(),
      tables: z.array(
        z.object({
          id: z.string(),
          schema: z.string(),
          name: z.string(),
          index: z.boolean(),
          skipped: z.literal(true).exactOptional(),
        }),
      ),
    }),
  ),
  encryption: z.string().exactOptional(),
});

export const manifestSchema: z.ZodType<Manifest> = z.object({
  formatVersion: z.literal([1, 2, 3]),
  plan: z.string(),
  backup: z.string(),
  engine: z.enum(['ysql', 'ycql', 'universe']),
  pipelineHash: z.string(),
  writtenBy: z.object({ holdfast: z.string(), host: z.string() }),
  startedAt: time,
  completedAt: time,
  server: serverSchema,
  readPoint: readPointSchema,
  scanned: intervalSchema.exactOptional(),
  contents: z.enum(['all', 'schema', 'data']),
  databases: z.array(databaseSchema),
  commonObjects: z.array(objectEntrySchema),
  totals: z.object({ rows: count, bytes: count, storedBytes: count, objects: count, tables: count }),
  data: z.union([
    z.object({ inline: z.array(dataObjectSchema) }),
    z.object({ lists: z.array(objectEntrySchema), count }),
  ]),
  packs: z.array(objectEntrySchema).exactOptional(),
  newBytes: count.exactOptional(),
  locks: z.object({ until: time, asked: count, extended: count }).exactOptional(),
  register: count.exactOptional(),
  predecessor: z.object({ backup: z.string(), sha256 }).exactOptional(),
  tablets: tabletsSchema.exactOptional(),
  universe: universeSchema.exactOptional(),
});

const keyColumnSchema: z.ZodType<KeyColumn> = z.object({
  column: z.string(),
  type: z.string(),
  before: z.string(),
  equal: z.string(),
  notBefore: z.string(),
  after: z.string(),
});

export const chunkSpecSchema: z.ZodType<ChunkSpec> = z.object({
  id: z.string(),
  table: tableIdSchema,
  columns: z.array(z.string()),
  range: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('whole'), condition: z.string().exactOptional() }),
    z.object({ kind: z.literal('ctid'), from: count, to: count.nullable() }),
    z.object({ kind: z.literal('hash'), keys: z.array(z.string()), from: count, to: count }),
    z.object({
      kind: z.literal('key'),
      keys: z.array(keyColumnSchema).min(1),
      from: z.array(z.string()).min(1).nullable(),
      to: z.array(z.string()).min(1).nullable(),
    }),
  ]),
  binary: z.object({ types: z.array(z.string()) }).exactOptional(),
  estimatedBytes: z.number().nonnegative(),
});
