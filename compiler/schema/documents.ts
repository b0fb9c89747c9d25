import { z } from 'zod';
import { discover, discoverFits } from './discover.ts';
import { drill, ONLY_OF_YSQL, TOLERATES_OF_YSQL } from './drill.ts';
import { notify } from './notify.ts';
import { alsoCheck, apiVersion, memberOf, metadata, name } from './parts.ts';
import { ONE_DATABASE_OFF_CLUSTER, ONLY_OF_POSTGRESQL, onlyOfAUniverse, pointTime } from './point-time.ts';
import { repositoryDocument } from './repository.ts';
import { restorePolicy } from './restore.ts';
import { retention, scheduleOf, transferWindow } from './schedule.ts';
import { source } from './source.ts';
import { BARE_VERBS, STEPS_AT_MOST, step } from './steps.ts';
import { templateDocument, templateUse } from './template.ts';

/*
 * The only definition of the plan language: types, errors, the JSON Schema for editors and the reference in docs/plan-language.md
 * all come from it. Every key has a description and an example; remedies show the examples too.
 */

const planDocument = z
  .strictObject({
    apiVersion,
    kind: z
      .literal('BackupPlan')
      .meta({ description: 'What is backed up, where to, when and how.', examples: ['BackupPlan'] }),
    metadata: metadata('orders-nightly'),
    spec: z
      .strictObject({
        template: templateUse.optional(),
        source,
        repository: name('Name of the repository document where the backups go.', 'main'),
        schedule: scheduleOf({ many: 'backups', one: 'a backup' }).optional(),
        window: transferWindow.optional(),
        priority: z
          .int()
          .min(1)
          .max(5)
          .optional()
          .meta({
            description:
              'Which plan’s tasks get a free slot first, where plans share workers: 1 before 5. Left out, 3.',
            examples: [1],
          }),
        retention: retention.optional(),
        pointTime: pointTime.optional(),
        drill: drill.optional(),
        notify: notify.optional(),
        restore: restorePolicy.optional(),
        discover: discover.optional(),
        steps: z
          .array(step)
          .min(1)
          .max(STEPS_AT_MOST)
          .prefault([...BARE_VERBS])
          .meta({
            description:
              'What a backup does. Left out, the standard pipeline: flush, snapshot, export, upload, verify with level `checksums` (`exists` for a universe, whose objects are shared and many).',
            examples: [['flush', 'snapshot', 'export', 'upload', 'verify']],
          }),
      })
      .check(
        alsoCheck(({ source: from, pointTime: wanted }) => {
          const key = memberOf(wanted, 'inCluster') === undefined ? 'offCluster' : 'inCluster';
          return memberOf(wanted, key) === undefined || mayBe('universe', from)
            ? undefined
            : { params: { problem: onlyOfAUniverse(key) }, path: ['pointTime'] };
        }),
      )
      .check(
        alsoCheck(({ source: from, pointTime: wanted }) => {
          const universe = memberOf(from, 'universe');
          const names = [memberOf(universe, 'databases'), memberOf(universe, 'keyspaces')];
          const count = names.reduce<number>((sum, list) => sum + (Array.isArray(list) ? list.length : 0), 0);
          return memberOf(wanted, 'offCluster') === undefined || count <= 1
            ? undefined
            : { params: { problem: ONE_DATABASE_OFF_CLUSTER }, path: ['pointTime', 'offCluster'] };
        }),
      )
      .check(
        alsoCheck(({ source: from, pointTime: wanted }) =>
          memberOf(wanted, 'archive') === undefined || mayBe('ysql', from)
            ? undefined
            : { params: { problem: ONLY_OF_POSTGRESQL }, path: ['pointTime', 'archive'] },
        ),
      )
      .check(
        alsoCheck(({ source: from, drill }) =>
          !asks(drill) || mayBe('ysql', from)
            ? undefined
            : { params: { problem: ONLY_OF_YSQL }, path: ['drill', 'assertions'] },
        ),
      )
      .check(
        alsoCheck(({ source: from, drill }) =>
          !tolerates(drill) || mayBe('ysql', from)
            ? undefined
            : { params: { problem: TOLERATES_OF_YSQL }, path: ['drill', 'tolerate'] },
        ),
      )
      .check(discoverFits)
      .meta({
        description: 'The plan itself.',
        examples: [{ source: { ysql: { connection: { env: 'ORDERS_DATABASE_URL' } } }, repository: 'main' }],
      }),
  })
  .meta({ title: 'BackupPlan', description: 'What is backed up, where to, when and how.' });

/** Also true for a source without an engine: that gets an error of its own. */
function mayBe(engine: 'universe' | 'ysql', from: unknown): boolean {
  return typeof from !== 'object' || from === null || engine in from || Object.keys(from).length === 0;
}

function tolerates(drill: unknown): boolean {
  return typeof drill === 'object' && drill !== null && 'tolerate' in drill && drill.tolerate === true;
}

function asks(drill: unknown): boolean {
  if (typeof drill !== 'object' || drill === null || !('assertions' in drill)) return false;
  return Array.isArray(drill.assertions) && drill.assertions.length > 0;
}

export const documentSchemas = {
  Repository: repositoryDocument,
  BackupPlan: planDocument,
  PlanTemplate: templateDocument,
} as const;

export type DocumentKind = keyof typeof documentSchemas;

export const DOCUMENT_KINDS = [
  'Repository',
  'BackupPlan',
  'PlanTemplate',
] as const satisfies readonly DocumentKind[];

export type PlanDocument = z.output<typeof planDocument>;
