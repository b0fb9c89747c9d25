import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { defined } from '../model/defined.ts';
import { type HoldfastError, permanent } from '../model/errors.ts';
import { detailsOf, GRPC, grpcCodeOf, temporalFailure } from '../worker/temporal-errors.ts';

/** `temporal.api.enums.v1.WorkerDeploymentVersionStatus`. `draining`: runs are under way that began on the build. `drained`: none is left. */
const STATES = ['unknown', 'inactive', 'current', 'ramping', 'draining', 'drained', 'inactive'] as const;

/** A build of a deployment. Field names are those of `deployment --json`. */
interface Build {
  readonly build: string;
  readonly state: (typeof STATES)[number];
  /** When it last became, or ceased to be, the current one. ISO 8601. Absent where it never was. */
  readonly since?: string;
}

/** Temporal's name for workers without a deployment. The field that holds it is deprecated, but 1.29 reads it. */
const UNVERSIONED = '__unversioned__';

/** The server learns of a build by the first poll of its worker, and of its task queues one by one. */
const KNOWN_WITHIN_MS = 15_000;
const MISSED_FOR_MS = 3_000;
const LOOK_EVERY_MS = 500;

/**
 * The builds of a deployment as Temporal knows them, newest first, and the one that new work goes to. `current` is absent where new work goes
 * to workers without a deployment.
 *
 * @throws HoldfastError `DEPLOYMENT_UNKNOWN`, `DEPLOYMENT_REFUSED`, `TEMPORAL_DENIED`, `TEMPORAL_UNREACHABLE`
 */
export async function findDeployment(
  client: Client,
  deploymentName: string,
): Promise<{ readonly current?: string; readonly builds: readonly Build[] }> {
  try {
    const info = await describe(client, deploymentName);
    const current = info?.routingConfig?.currentDeploymentVersion?.buildId;
    return {
      ...defined({ current: current || undefined }),
      builds: (info?.versionSummaries ?? [])
        .toSorted((a, b) => secondsOf(b.createTime) - secondsOf(a.createTime))
        .map(({ deploymentVersion, status, routingUpdateTime }) => ({
          build: deploymentVersion?.buildId ?? '',
          state: STATES[status ?? 0] ?? 'unknown',
          ...defined({ since: isoOf(routingUpdateTime) }),
        })),
    };
  } catch (error) {
    throw deploymentError(deploymentName, error);
  }
}

/** Temporal now and then says of a deployment that it does not exist, right after something about it changed. So it is asked again. */
async function describe(client: Client, deploymentName: string) {
  const { namespace } = client.options;
  const deadline = Date.now() + MISSED_FOR_MS;
  for (;;) {
    try {
      const answer = await client.workflowService.describeWorkerDeployment({ namespace, deploymentName });
      return answer.workerDeploymentInfo;
    } catch (error) {
      if (grpcCodeOf(error) !== GRPC.notFound || Date.now() > deadline) throw error;
      await sleep(LOOK_EVERY_MS);
    }
  }
}

/**
 * Makes a build the one that takes new work of its deployment; an empty `buildId` gives it to workers without a deployment. Runs under way stay where they
 * began. Waits for a build whose worker has just started.
 *
 * @throws HoldfastError as `findDeployment`
 */
export async function makeBuildCurrent(
  client: Client,
  deploymentName: string,
  buildId: string,
): Promise<void> {
  const { namespace, identity } = client.options;
  const deadline = Date.now() + KNOWN_WITHIN_MS;
  for (;;) {
    try {
      await client.workflowService.setWorkerDeploymentCurrentVersion({
        namespace,
        deploymentName,
        buildId,
        version: buildId === '' ? UNVERSIONED : `${deploymentName}.${buildId}`,
        identity: identity ?? '',
      });
      return;
    } catch (error) {
      const mayBeNew = [GRPC.notFound, GRPC.failedPrecondition].some((code) => code === grpcCodeOf(error));
      if (!mayBeNew || Date.now() > deadline) throw deploymentError(deploymentName, error);
      await sleep(LOOK_EVERY_MS);
    }
  }
}

function deploymentError(deployment: string, error: unknown): HoldfastError {
  const known = temporalFailure(error);
  if (known !== undefined) return known;
  if (grpcCodeOf(error) === GRPC.notFound) {
    return permanent(
      'DEPLOYMENT_UNKNOWN',
      `Temporal knows no such build or deployment ${deployment} (${detailsOf(error)})`,
      'Start a worker of it first: holdfast worker --deployment NAME --build-id ID.',
      error,
    );
  }
  return permanent(
    'DEPLOYMENT_REFUSED',
    `Temporal refuses what was asked of deployment ${deployment} (${detailsOf(error)})`,
    'Worker versioning needs Temporal 1.29 or newer. A build can become current once its workers poll every task queue that the current build’s workers poll.',
    error,
  );
}

type Timestamp = { readonly seconds?: unknown } | null | undefined;

function secondsOf(time: Timestamp): number {
  return Number(time?.seconds ?? 0);
}

function isoOf(time: Timestamp): string | undefined {
  const seconds = secondsOf(time);
  return seconds === 0 ? undefined : new Date(seconds * 1_000).toISOString();
}
