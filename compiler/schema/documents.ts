import { z } from 'zod';
import { drill, ONLY_OF_YSQL, TOLERATES_OF_YSQL } from './drill.ts';
import { notify } from './notify.ts';
import { alsoCheck, apiVersion, metadata, name } from './parts.ts';
import { ONLY_OF_A_UNIVERSE, ONLY_OF_POSTGRESQL, pointTime } from './point-time.ts';
import { repositoryDocument } from './repository.ts';
import { restorePolicy } from './restore.ts';
import { retention, scheduleOf } from './schedule.ts';
import { source } from './source.ts';
import { BARE_VERBS, STEPS_AT_MOST, step } from './steps.ts';

/*
 * The one definition of the plan language: types, errors, the JSON Schema for editors and the reference in
 * docs/plan-language.md come from here. Every key has a description and an example; the examples also appear in remedies.
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
        source,
        repository: name('Name of the repository document where the backups go.', 'main'),
        schedule: scheduleOf({ many: 'backups', one: 'a backup' }).optional(),
        retention: retention.optional(),
        pointTime: pointTime.optional(),
        drill: drill.optional(),
        notify: notify.optional(),
        restore: restorePolicy.optional(),
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
        alsoCheck(({ source: from, pointTime: wanted }) =>
          !has('inCluster', wanted) || mayBe('universe', from)
            ? undefined
            : { params: { problem: ONLY_OF_A_UNIVERSE }, path: ['pointTime'] },
        ),
      )
      .check(
        alsoCheck(({ source: from, pointTime: wanted }) =>
          !has('archive', wanted) || mayBe('ysql', from)
            ? undefined
            : { params: { problem: ONLY_OF_POSTGRESQL }, path: ['pointTime', 'archive'] },
        ),
      )
      .check(
        alsoCheck(({ source: from, drill: rehearsal }) =>
          !asks(rehearsal) || mayBe('ysql', from)
            ? undefined
            : { params: { problem: ONLY_OF_YSQL }, path: ['drill', 'assertions'] },
        ),
      )
      .check(
        alsoCheck(({ source: from, drill: rehearsal }) =>
          !tolerates(rehearsal) || mayBe('ysql', from)
            ? undefined
            : { params: { problem: TOLERATES_OF_YSQL }, path: ['drill', 'tolerate'] },
        ),
      )
      .meta({ description: 'The plan itself.' }),
  })
  .meta({ title: 'BackupPlan', description: 'What is backed up, where to, when and how.' });

/** True also for a source without an engine, which is reported as an error of its own. */
function mayBe(engine: 'universe' | 'ysql', from: unknown): boolean {
  return typeof from !== 'object' || from === null || engine in from || Object.keys(from).length === 0;
}

function has(key: string, mapping: unknown): boolean {
  return typeof mapping === 'object' && mapping !== null && key in mapping;
}

function tolerates(rehearsal: unknown): boolean {
  return (
    typeof rehearsal === 'object' &&
    rehearsal !== null &&
    'tolerate' in rehearsal &&
    rehearsal.tolerate === true
  );
}

function asks(rehearsal: unknown): boolean {
  if (typeof rehearsal !== 'object' || rehearsal === null || !('assertions' in rehearsal)) return false;
  return Array.isArray(rehearsal.assertions) && rehearsal.assertions.length > 0;
}

export const documentSchemas = { Repository: repositoryDocument, BackupPlan: planDocument } as const;

export type DocumentKind = keyof typeof documentSchemas;

/** Any document of a plan file. */
export const anyDocument = z.discriminatedUnion('kind', [repositoryDocument, planDocument]);

export type PlanDocument = z.output<typeof planDocument>;
