import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { workerProcess } from '../../cli/worker-process.ts';

const MAIN = join(__dirname, '../../cli/main.ts');
/** Has each process tell how it was started. */
const TELL = `data:text/javascript,${encodeURIComponent(
  "process.stderr.write('process ' + JSON.stringify([process.pid, process.execArgv, process.env.MALLOC_ARENA_MAX]) + '\\n')",
)}`;

async function processesOf(args: readonly string[], variables: NodeJS.ProcessEnv = {}) {
  const { NODE_OPTIONS: _none, MALLOC_ARENA_MAX: _neither, ...env } = process.env;
  const { stderr } = await promisify(execFile)(process.execPath, [MAIN, ...args], {
    env: { ...env, NODE_OPTIONS: `--import=${TELL}`, ...variables },
  });
  return [...stderr.matchAll(/^process (.*)$/gm)].map(([, told = '']) => JSON.parse(told));
}

describe('a worker, however it is started,', () => {
  it('is a process whose memory is bounded, under the id that its supervisor knows', async () => {
    const [first, second, ...others] = await processesOf(['worker', '--help']);
    expect(others).toEqual([]);
    expect(second).toEqual([first[0], ['--max-semi-space-size=8'], '2']);
  });

  it('has what its operator has set', async () => {
    const [, second] = await processesOf(['worker', '--help'], { MALLOC_ARENA_MAX: '5' });
    expect(second).toEqual([expect.any(Number), ['--max-semi-space-size=8'], '5']);
    const options = `--import=${TELL} --max-semi-space-size=32`;
    await expect(
      processesOf(['worker', '--help'], { NODE_OPTIONS: options, MALLOC_ARENA_MAX: '5' }),
    ).resolves.toHaveLength(1);
  });

  it('has what its operator has set in V8’s other spelling', () => {
    const { execArgv } = workerProcess({ NODE_OPTIONS: '--max_semi_space_size=32' });
    expect(execArgv).toEqual(process.execArgv);
  });

  it('is no concern of other commands', async () => {
    await expect(processesOf(['list', '--help'])).resolves.toEqual([[expect.any(Number), [], null]]);
  });

  it('is started so by a command that needs one', () => {
    expect(workerProcess({ HOME: '/home/me' })).toEqual({
      execArgv: [...process.execArgv, '--max-semi-space-size=8'],
      env: { HOME: '/home/me', MALLOC_ARENA_MAX: '2' },
    });
  });
});
