import { setTimeout as sleep } from 'node:timers/promises';
import type { Action } from '../model.ts';
import { act, type Ports } from './actions.ts';
import type { Answer, Operation } from './operations/operation.ts';
import { OPERATIONS } from './operations.ts';
import { Failure } from './status.ts';
import type { World } from './world.ts';

/** A request of the yb-admin process to a master. */
export interface Request {
  readonly operation: string;
  readonly args: readonly string[];
  readonly timezone: string;
  readonly excludeDead: boolean;
  readonly certificates: boolean;
  /** Base64 by argument. */
  readonly files: Readonly<Record<string, string>>;
}

/** The master's answer. */
export interface Response {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Base64. */
  readonly writes: readonly { readonly path: string; readonly content: string }[];
  /** yb-admin ends by `kill -9`, without any output. */
  readonly killed?: boolean;
}

/** Thrown instead of an answer that `loseAnswer` lost. */
export class AnswerLost extends Error {}

const REFUSALS: Readonly<Record<Extract<Action, { do: 'refuse' }>['as'], Failure>> = {
  'leader not ready': new Failure('Service unavailable', 'Leader not yet ready to serve requests'),
  'timed out': new Failure('Timed out', 'RPC (request call id 7) to 127.0.0.1:7100 timed out after 60.000s'),
  'network error': new Failure('Network error', 'recvmsg error: Connection reset by peer (system error 104)'),
  'internal error': new Failure('Internal error', 'Unexpected failure'),
  // yb-admin is killed, so nobody sees this text.
  killed: new Failure('Internal error', 'killed'),
};

/** Counts a call, and runs the triggers and delays before it. */
export async function before(world: World, ports: Ports, operation: string): Promise<void> {
  world.state.calls[operation] = (world.state.calls[operation] ?? 0) + 1;
  await fire(world, ports, operation, 'before');
  const delay = spend(world.state.delays, operation);
  if (delay !== undefined) await sleep(delay.ms);
}

export async function after(world: World, ports: Ports, operation: string): Promise<void> {
  await fire(world, ports, operation, 'after');
}

/** Fires the triggers whose n-th call this is, and removes them. */
async function fire(
  world: World,
  ports: Ports,
  operation: string,
  moment: 'before' | 'after',
): Promise<void> {
  for (const trigger of world.state.triggers) {
    if (trigger.operation !== operation || trigger.moment !== moment) continue;
    trigger.left -= 1;
    if (trigger.left > 0) continue;
    world.state.triggers = world.state.triggers.filter((other) => other !== trigger);
    world.save();
    for (const action of trigger.actions) await act(world, ports, action);
  }
}

function spend<T extends { readonly operation: string; left: number }>(
  list: T[],
  operation: string,
): T | undefined {
  const found = list.find((other) => other.operation === operation);
  if (found === undefined) return undefined;
  found.left -= 1;
  if (found.left <= 0) list.splice(list.indexOf(found), 1);
  return found;
}

/** Executes one call of yb-admin. Throws `AnswerLost`. */
export async function dispatch(world: World, ports: Ports, request: Request): Promise<Response> {
  const operation = OPERATIONS.get(request.operation);
  if (operation === undefined || operation.known?.(world) === false)
    return unknownOperation(world, request.operation);
  return await world.exclusively(async () => {
    await before(world, ports, operation.name);
    const lost = spend(world.state.lostAnswers, operation.name);
    const response = await answer(world, operation, request);
    await after(world, ports, operation.name);
    if (lost?.as === 'timed out') return failed(world, operation, request.args, REFUSALS['timed out']);
    if (lost !== undefined) throw new AnswerLost();
    return response;
  });
}

async function answer(world: World, operation: Operation, request: Request): Promise<Response> {
  const { args } = request;
  try {
    const refusal = spend(world.state.refusals, operation.name);
    if (refusal?.as === 'killed') return { code: 137, stdout: '', stderr: '', writes: [], killed: true };
    if (refusal !== undefined) throw REFUSALS[refusal.as];
    const [least, most] = operation.arity;
    if (args.length < least || args.length > most) throw arityFailure(world, args.length, operation.arity);
    const files = new Map(
      Object.entries(request.files).map(([name, content]) => [name, Buffer.from(content, 'base64')]),
    );
    const result = await operation.run({
      world,
      args,
      timezone: request.timezone,
      excludeDead: request.excludeDead,
      files,
    });
    return success(result);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return failed(world, operation, args, error);
  }
}

function failed(world: World, operation: Operation, args: readonly string[], error: Failure): Response {
  const isUsage =
    error.message === 'Invalid arguments for operation' || /^Too (?:few|many) arguments/.test(error.message);
  const status = error.status(isUsage ? '' : operation.prefix(args));
  const usage = error.kind === 'Invalid argument' ? usageOf(world, operation) : '';
  return {
    code: 1,
    stdout: '',
    stderr: `Error running ${operation.name}: ${status}\n${usage}`,
    writes: [],
  };
}

function success({ stdout, writes = [] }: Answer): Response {
  return {
    code: 0,
    stdout,
    stderr: '',
    writes: writes.map(({ path, content }) => ({ path, content: content.toString('base64') })),
  };
}

function arityFailure(world: World, count: number, [least, most]: Operation['arity']): Failure {
  if (!world.profile.shortUsage) return new Failure('Invalid argument', 'Invalid arguments for operation');
  const words = count < least ? 'Too few' : 'Too many';
  return new Failure(
    'Invalid argument',
    `${words} arguments ${count}, should be in range [${least}, ${most}]`,
  );
}

const DEFINITIONS =
  'Definitions: <table>\n  <namespace> <table_name> | tableid.<table_id>\n<namespace>\n  [(ycql|ysql).]<namespace_name> (default: ycql.)\n';

function usageOf(world: World, operation: Operation): string {
  const line = ({ name, usage }: Operation): string => {
    const known = world.profile.snapshotRetention
      ? usage
      : usage.replace(' [retention_duration_hours]', '').replace(' [JSON]', '');
    return `${name} ${known}`.trimEnd();
  };
  if (world.profile.shortUsage) return `Usage: yb-admin ${line(operation)}\n${DEFINITIONS}`;
  return `Usage: yb-admin [-master_addresses server1:port,server2:port,server3:port,...] [-timeout_ms <millisec>] [-certs_dir_name <dir_name>] <operation>\n<operation> must be one of:\n${everyOperation(
    world,
  )
    .map((other, index) => ` ${index + 1}. ${line(other)}\n`)
    .join('')}`;
}

export function everyOperation(world: World): readonly Operation[] {
  return [...OPERATIONS.values()].filter(({ known }) => known?.(world) !== false);
}

function unknownOperation(world: World, name: string): Response {
  const alike = everyOperation(world)
    .map((operation) => operation.name)
    .filter((other) => other.slice(0, 5) === name.slice(0, 5));
  const suggestion =
    alike.length === 0
      ? ''
      : `Did you mean one of these?\n${alike.map((other) => `    ${other}\n`).join('')}`;
  const more = world.profile.shortUsage ? `${suggestion}\nRun 'yb-admin help' to list all operations.\n` : '';
  return { code: 1, stdout: '', stderr: `Invalid operation: ${name}\n${more}`, writes: [] };
}
