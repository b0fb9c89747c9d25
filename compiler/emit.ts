import { deepFreeze, hashOf } from '../model/canonical-json.ts';
import type { DrillSpec, Expectation } from '../model/drill.ts';
import type { NotifyTarget } from '../model/notification.ts';
import type {
  AzureCredentials,
  CompiledPlan,
  EncryptionSpec,
  HttpOptions,
  Pipeline,
  PointTime,
  RepositorySpec,
  RestorePolicy,
  Retention,
  RetryPolicy,
  S3Credentials,
  S3Location,
  Schedule,
  SecretRef,
  SigningSpec,
  Source,
  Step,
  UniverseSource,
} from '../model/pipeline.ts';
import type { DeletionSpec } from '../model/source.ts';
import type { TransferWindow, WindowSpan } from '../model/transfer-window.ts';
import type { PlanDocument } from './schema/documents.ts';
import { USUAL_EVENTS } from './schema/notify.ts';
import type { SecretReference } from './schema/places.ts';
import type { RepositoryDocument } from './schema/repository.ts';
import type { UniverseDocument } from './schema/source.ts';
import type { StepDocument } from './schema/steps.ts';
import type { PlacedStep } from './step-graph.ts';

/** A repository as the pipeline carries it. */
export function emitRepository({ metadata, spec }: RepositoryDocument): RepositorySpec {
  return deepFreeze({
    name: metadata.name,
    location: emitLocation(spec),
    ...given('encryption', spec.encryption && emitEncryption(spec.encryption)),
    ...given('signing', spec.signing && emitSigning(spec.signing)),
    ...given('deletion', spec.deletion && emitDeletion(spec.deletion)),
    ...given('shareRows', spec.shareRows),
  });
}

function emitDeletion({
  approvers,
  approvals,
  atOnce,
}: NonNullable<RepositoryDocument['spec']['deletion']>): DeletionSpec {
  return { approvers, approvals, ...given('atOnce', atOnce) };
}

function emitLocation({
  directory,
  groupAccess,
  gcs,
  azure,
  s3,
}: RepositoryDocument['spec']): RepositorySpec['location'] {
  if (directory !== undefined) {
    return { kind: 'directory', path: directory, ...given('groupAccess', groupAccess) };
  }
  if (gcs !== undefined) {
    return {
      kind: 'gcs',
      bucket: gcs.bucket,
      prefix: gcs.prefix ?? '',
      ...given('endpoint', gcs.endpoint),
      ...given('storageClass', gcs.storageClass),
      ...given('credentials', gcs.credentials && emitSecret(gcs.credentials)),
    };
  }
  if (azure !== undefined) {
    return {
      kind: 'azure',
      account: azure.account,
      container: azure.container,
      prefix: azure.prefix ?? '',
      ...given('endpoint', azure.endpoint),
      ...given('accessTier', azure.accessTier),
      ...given('credentials', azure.credentials && emitAzureCredentials(azure.credentials)),
      ...given('pruneCredentials', azure.pruneCredentials && emitAzureCredentials(azure.pruneCredentials)),
    };
  }
  if (s3 === undefined) throw new TypeError('a valid Repository has one of s3, gcs, azure and directory');
  const { credentials, sse } = s3;
  return {
    kind: 's3',
    bucket: s3.bucket,
    prefix: s3.prefix ?? '',
    forcePathStyle: s3.pathStyle ?? s3.endpoint !== undefined,
    ...given('region', s3.region),
    ...given('endpoint', s3.endpoint),
    ...given('storageClass', s3.storageClass),
    ...given('serverSideEncryption', sse?.algorithm),
    ...given('kmsKeyId', sse?.kmsKeyId),
    ...given('credentials', credentials && emitCredentials(credentials)),
    ...given('pruneCredentials', s3.pruneCredentials && emitCredentials(s3.pruneCredentials)),
    ...given('objectLock', s3.objectLock && emitObjectLock(s3.objectLock)),
  };
}

type S3Document = NonNullable<RepositoryDocument['spec']['s3']>;

function emitCredentials(credentials: NonNullable<S3Document['credentials']>): S3Credentials {
  return {
    accessKeyId: emitSecret(credentials.accessKeyId),
    secretAccessKey: emitSecret(credentials.secretAccessKey),
    ...given('sessionToken', credentials.sessionToken && emitSecret(credentials.sessionToken)),
  };
}

function emitAzureCredentials({
  accountKey,
  sasToken,
}: NonNullable<NonNullable<RepositoryDocument['spec']['azure']>['credentials']>): AzureCredentials {
  if (accountKey !== undefined) return { accountKey: emitSecret(accountKey) };
  if (sasToken !== undefined) return { sasToken: emitSecret(sasToken) };
  throw new TypeError('valid credentials for Azure have one of accountKey and sasToken');
}

function emitEncryption({
  recipients,
  identity,
  metadataIdentity,
}: NonNullable<RepositoryDocument['spec']['encryption']>): EncryptionSpec {
  return {
    recipients,
    ...given('identity', identity && emitSecret(identity)),
    ...given('metadataIdentity', metadataIdentity && emitSecret(metadataIdentity)),
  };
}

function emitSigning({ key, trusted }: NonNullable<RepositoryDocument['spec']['signing']>): SigningSpec {
  return { ...given('key', key && emitSecret(key)), trusted };
}

function emitObjectLock({ mode, days }: NonNullable<S3Document['objectLock']>): S3Location['objectLock'] {
  return { mode: mode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE', days };
}

/** What the resolver found for a plan, as far as the emitter needs it. */
interface ResolvedPlan {
  readonly file: string;
  readonly document: PlanDocument;
  readonly repository: RepositorySpec;
  /** Repositories by name, for steps that name one. */
  readonly repositories: ReadonlyMap<string, RepositorySpec>;
  readonly steps: readonly PlacedStep[];
  /** True: the plan has no `steps` of its own. */
  readonly standard: boolean;
}

/** The compiled plan: frozen data. The same text always gives the same. */
export function emitPlan({
  file,
  document,
  repository,
  repositories,
  steps,
  standard,
}: ResolvedPlan): CompiledPlan {
  const { metadata, spec } = document;
  const content: Omit<Pipeline, 'hash'> = {
    formatVersion: 1,
    plan: metadata.name,
    labels: metadata.labels ?? {},
    source: emitSource(spec.source),
    repository,
    steps: steps.map((placed) => {
      const step = spec.steps[placed.index];
      if (step === undefined) throw new TypeError(`step ${placed.index} is placed but not written`);
      const emitted = emitStep(step, placed, repositories);
      return standard && emitted.verb === 'verify' && spec.source.universe !== undefined
        ? { ...emitted, options: { level: 'exists' as const } }
        : emitted;
    }),
  };
  return deepFreeze({
    name: metadata.name,
    file,
    pipeline: { ...content, hash: hashOf(content) },
    ...given('schedule', spec.schedule && emitSchedule(spec.schedule)),
    ...given('window', spec.window && emitWindow(spec.window, spec.schedule?.timezone)),
    ...given('priority', spec.priority),
    ...given('retention', spec.retention && emitRetention(spec.retention)),
    ...given('pointTime', spec.pointTime && emitPointTime(spec.pointTime)),
    ...given('drill', spec.drill && emitDrill(spec.drill)),
    ...given('notify', spec.notify?.map(emitNotifyTarget)),
    ...given('restore', spec.restore && emitRestore(spec.restore)),
    ...given('discover', spec.discover && { everyMs: spec.discover.every }),
  });
}

function emitPointTime({
  inCluster,
  offCluster,
  archive,
}: NonNullable<PlanDocument['spec']['pointTime']>): PointTime {
  return {
    ...given(
      'inCluster',
      inCluster && {
        intervalMs: inCluster.interval,
        retentionMs: inCluster.retention,
        adopt: inCluster.adopt,
      },
    ),
    ...given('offCluster', offCluster && { everyMs: offCluster.every, retentionMs: offCluster.retention }),
    ...given(
      'archive',
      archive && {
        lagMs: archive.lag,
        segmentBytes: archive.segmentSize,
        retentionMs: archive.retention,
        maxSourceLagBytes: archive.maxSourceLag,
      },
    ),
  };
}

function emitSource({ ysql, ycql, universe }: PlanDocument['spec']['source']): Source {
  if (universe !== undefined) return emitUniverse(universe);
  if (ycql !== undefined) return emitYcql(ycql);
  if (ysql === undefined) throw new TypeError('a valid source has an engine');
  return {
    engine: 'ysql',
    connection: emitSecret(ysql.connection),
    ...given('databases', ysql.databases && emitPatterns(ysql.databases)),
    tables: emitPatterns(ysql.tables),
    contents: ysql.contents,
    globals: ysql.globals,
    ...given('dumpProgram', ysql.dumpProgram),
    ...given('format', ysql.format),
    chunkBytes: ysql.chunkSize,
  };
}

function emitUniverse(universe: UniverseDocument): UniverseSource {
  const { limits, patience, tls, ysql } = universe;
  return {
    engine: 'universe',
    masters: universe.masters,
    masterWebPort: universe.masterWebPort,
    ...given('tls', tls && { certsDir: emitSecret(tls.certsDir) }),
    ...given('ysql', ysql && { connection: emitSecret(ysql.connection) }),
    databases: universe.databases ?? [],
    keyspaces: universe.keyspaces ?? [],
    globals: universe.globals,
    snapshotRetentionMs: universe.snapshotRetention,
    countRows: universe.countRows,
    limits: {
      tasksPerNode: limits.tasksPerNode,
      filesPerDisk: limits.filesPerDisk,
      ...given('bytesPerSecondPerNode', limits.bytesPerSecondPerNode),
      ...given('bytesPerSecond', limits.bytesPerSecond),
    },
    patience: {
      agentMs: patience.agent,
      snapshotMs: patience.snapshot,
      restorationMs: patience.restoration,
    },
  };
}

function emitYcql(ycql: NonNullable<PlanDocument['spec']['source']['ycql']>): Source {
  const { username, password, tls } = ycql;
  return {
    engine: 'ycql',
    contactPoints: ycql.contactPoints,
    port: ycql.port,
    ...given('localDataCenter', ycql.localDataCenter),
    ...given(
      'credentials',
      username && password && { username: emitSecret(username), password: emitSecret(password) },
    ),
    ...given(
      'tls',
      tls && {
        ...given('caFile', tls.ca),
        ...given(
          'certificate',
          tls.certificate !== undefined && tls.key !== undefined
            ? { certificateFile: tls.certificate, key: emitSecret(tls.key) }
            : undefined,
        ),
        ...given('serverName', tls.serverName),
        verify: tls.verify,
      },
    ),
    keyspaces: emitPatterns(ycql.keyspaces),
    tables: emitPatterns(ycql.tables),
    contents: ycql.contents,
    globals: ycql.globals,
    consistency: 'scan',
    consistencyLevel: ycql.consistencyLevel,
    writeTimes: ycql.writeTimes,
    load: {
      ...given('rowsPerSecond', ycql.load.rowsPerSecond),
      inFlightPerNode: ycql.load.inFlightPerNode,
      writesInFlightPerNode: ycql.load.writesInFlightPerNode,
      pageRows: ycql.load.pageRows,
    },
    chunkBytes: ycql.chunkSize,
  };
}

function emitPatterns(patterns: { include?: string[] | undefined; exclude?: string[] | undefined }) {
  return { include: patterns.include ?? [], exclude: patterns.exclude ?? [] };
}

function emitSecret({ env, file }: SecretReference): SecretRef {
  if (env !== undefined) return { env };
  if (file !== undefined) return { file };
  throw new TypeError('a valid reference has one of env and file');
}

function emitSchedule({ cron, timezone, overlap }: NonNullable<PlanDocument['spec']['schedule']>): Schedule {
  return { cron: emitCron(cron), timezone, overlap };
}

function emitWindow(window: WindowSpan | WindowSpan[], timezone = 'UTC'): TransferWindow {
  return { spans: Array.isArray(window) ? window : [window], timezone };
}

function emitCron(cron: string | string[]): readonly string[] {
  return typeof cron === 'string' ? [cron] : cron;
}

function emitRestore({
  approval,
  safetyBackup,
  owner,
}: NonNullable<PlanDocument['spec']['restore']>): RestorePolicy {
  return { approval, safetyBackup, ...given('owner', owner) };
}

function emitDrill(drill: NonNullable<PlanDocument['spec']['drill']>): DrillSpec {
  const {
    schedule,
    backup,
    check,
    indexCheck,
    connection,
    assertions,
    parallelism,
    timeout,
    tolerate,
    owner,
  } = drill;
  return {
    ...given('schedule', schedule && emitSchedule(schedule)),
    backup,
    check,
    ...given('indexCheckMs', indexCheck),
    ...given('connection', connection && emitSecret(connection)),
    assertions: assertions.map(({ name, sql, database, expect }, index) => ({
      name: name ?? `assertion ${index + 1}`,
      sql,
      ...given('database', database),
      expect: emitExpectation(expect),
    })),
    ...(tolerate ? { tolerate } : {}),
    ...given('owner', owner),
    parallelism,
    timeoutMs: timeout,
  };
}

type ExpectationDocument = NonNullable<PlanDocument['spec']['drill']>['assertions'][number]['expect'];

function emitExpectation(expect: ExpectationDocument): Expectation {
  if (typeof expect !== 'object' || expect === null) return { kind: 'value', value: expect };
  if (expect.rows !== undefined) return { kind: 'rows', rows: expect.rows };
  return { kind: 'range', ...given('min', expect.min), ...given('max', expect.max) };
}

function emitNotifyTarget({
  webhook,
  slack,
  email,
  ping,
  format,
  secret,
  on = [...USUAL_EVENTS],
  reach = 'private',
}: NonNullable<PlanDocument['spec']['notify']>[number]): NotifyTarget {
  if (slack !== undefined) return { kind: 'slack', url: emitSecret(slack), on, reach };
  if (ping !== undefined) return { kind: 'ping', url: emitSecret(ping), on: [], reach };
  if (email !== undefined) return { kind: 'email', ...email, smtp: emitSecret(email.smtp), on };
  if (webhook === undefined) throw new TypeError('a valid notify target has one receiver');
  return {
    kind: 'webhook',
    url: emitSecret(webhook),
    on,
    ...given('format', format),
    ...given('secret', secret && emitSecret(secret)),
    reach,
  };
}

function emitRetention(retention: NonNullable<PlanDocument['spec']['retention']>): Retention {
  const { keepWithin, cron, ...counts } = retention;
  return {
    ...given('keepLast', counts.keepLast),
    ...given('keepHourly', counts.keepHourly),
    ...given('keepDaily', counts.keepDaily),
    ...given('keepWeekly', counts.keepWeekly),
    ...given('keepMonthly', counts.keepMonthly),
    ...given('keepYearly', counts.keepYearly),
    ...given('keepWithinMs', keepWithin),
    ...given('minCount', counts.minCount),
    ...given('minAgeMs', counts.minAge),
    ...given('graceMs', counts.grace),
    ...given('timezone', counts.timezone),
    ...given('cron', cron === undefined ? undefined : emitCron(cron)),
  };
}

function emitStep(
  step: StepDocument,
  { id, needs, inputs }: PlacedStep,
  repositories: ReadonlyMap<string, RepositorySpec>,
): Step {
  const place = { id, needs, when: step.when, inputs } as const;
  if (step.flush !== undefined) {
    const { flush } = step;
    return { ...place, verb: 'flush', ...settingsOf(flush), options: { waitMs: flush.wait } };
  }
  if (step.snapshot !== undefined) {
    const { snapshot } = step;
    return { ...place, verb: 'snapshot', ...settingsOf(snapshot), output: 'readPoint', options: {} };
  }
  if (step.export !== undefined) {
    const settings = settingsOf(step.export);
    return { ...place, verb: 'export', ...settings, output: 'workList', options: {} };
  }
  if (step.upload !== undefined) {
    const { upload } = step;
    const options = { zstdLevel: upload.zstdLevel };
    return { ...place, verb: 'upload', ...settingsOf(upload), output: 'backup', options };
  }
  if (step.verify !== undefined) {
    const { verify } = step;
    return {
      ...place,
      verb: 'verify',
      ...settingsOf(verify),
      options: { level: verify.level, ...given('owner', verify.owner) },
    };
  }
  if (step.copy !== undefined) {
    const to = repositories.get(step.copy.to);
    if (to === undefined) throw new TypeError(`repository ${step.copy.to} is not resolved`);
    return { ...place, verb: 'copy', ...settingsOf(step.copy), options: { to } };
  }
  if (step.sql !== undefined) {
    const { statement, database } = step.sql;
    const options = { statement, ...given('database', database) };
    return { ...place, verb: 'sql', ...settingsOf(step.sql), options };
  }
  if (step.http !== undefined) {
    const { url, method, reach } = step.http;
    const options: HttpOptions = {
      url: typeof url === 'string' ? { literal: url } : emitSecret(url),
      method,
      ...given('reach', reach),
    };
    return { ...place, verb: 'http', ...settingsOf(step.http), options };
  }
  throw new TypeError('a valid step has a verb');
}

function settingsOf(options: {
  readonly timeout: number;
  readonly parallelism: number;
  readonly retry: {
    readonly maximumAttempts: number;
    readonly initialInterval: number;
    readonly maximumInterval: number;
    readonly backoffCoefficient: number;
  };
}): { readonly retry: RetryPolicy; readonly timeoutMs: number; readonly parallelism: number } {
  const { retry, timeout, parallelism } = options;
  return {
    retry: {
      maximumAttempts: retry.maximumAttempts,
      initialIntervalMs: retry.initialInterval,
      maximumIntervalMs: retry.maximumInterval,
      backoffCoefficient: retry.backoffCoefficient,
    },
    timeoutMs: timeout,
    parallelism,
  };
}

/** An object with this key and value, or an empty one: a key whose value is undefined is not the same as an absent key. */
function given<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { readonly [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [K in Key]: Value });
}
