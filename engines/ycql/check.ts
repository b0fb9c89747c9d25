import { formatAmount } from '../../model/amounts.ts';
import { type Check, check } from '../../model/check.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { readSelected } from './catalog.ts';
import { refuseMasked } from './masked-columns.ts';
import { planReading } from './reading.ts';
import { refuseWhatCannotBeCarried } from './refusals.ts';
import type { CqlSession } from './session.ts';
import { withSession } from './shared-session.ts';
import { resolveTarget } from './target.ts';

/**
 * Checks each thing that a backup of this source needs, independently of the others: connection, names, permissions. Also reports what a backup
 * can't carry.
 */
export async function checkSource(verb: VerbContext, source: YcqlSource): Promise<readonly Check[]> {
  const inSession = async <T>(work: (session: CqlSession) => Promise<T>): Promise<T> =>
    withSession(verb, await resolveTarget(verb, source), source, work);
  const answers = await check('source answers', () =>
    inSession(
      async ({ server, nodes }) =>
        `${server.product} ${server.version}, ${nodes.up().length} nodes up in ${[...nodes.dataCenters].join(', ')}`,
    ),
  );
  // Nothing else can be checked without a connection, and its fault is reported once.
  if (!answers.ok) return [answers];
  return [
    answers,
    await check('keyspaces and tables', () =>
      inSession(async (session) => {
        const schemas = await readSelected(session, source, verb.signal);
        refuseWhatCannotBeCarried(schemas);
        return schemas
          .map(({ keyspace, tables }) => `${keyspace} (${formatAmount(tables.length, 'table')})`)
          .join(', ');
      }),
    ),
    ...(source.contents === 'schema'
      ? []
      : [
          await check('columns unmasked', () =>
            inSession(async (session) => {
              const { login } = await resolveTarget(verb, source);
              const schemas = await readSelected(session, source, verb.signal);
              await refuseMasked(session, login?.username, schemas, verb.signal);
              return 'every column is read as it is';
            }),
          ),
        ]),
    await check('what can be read', () =>
      inSession(async (session) => {
        const losses: string[] = [];
        for (const { keyspace, tables, notCarried } of await readSelected(session, source, verb.signal)) {
          losses.push(...notCarried);
          for (const table of tables) {
            const reading = await planReading(session, keyspace, table, source.writeTimes, verb.signal);
            losses.push(...reading.losses.map((loss) => `${keyspace}.${table.name}: ${loss}`));
          }
        }
        return losses.length === 0
          ? 'values, times of writing and expiry of every cell'
          : `everything but this: ${losses.join('; ')}`;
      }),
    ),
  ];
}
