import type { Command } from 'commander';
import { runCommand } from '../output.ts';

export function register(program: Command): void {
  program
    .command('mcp')
    .argument('[dir]', 'the folder of plan files that tools may read', 'plans')
    .description(
      'serve the Model Context Protocol on stdin and stdout: look, explain and verify; a restore only as a request that a person approves',
    )
    .addHelpText(
      'after',
      '\nExample:\n  holdfast mcp plans/        # started by an MCP client, see docs/mcp.md',
    )
    .action((folder: string) => runCommand({}, () => run(folder)));
}

async function run(folder: string): Promise<undefined> {
  const { serveMcp } = await import('../mcp/server.ts');
  await serveMcp(folder.length > 1 ? folder.replace(/\/+$/, '') : folder);
  return undefined;
}
