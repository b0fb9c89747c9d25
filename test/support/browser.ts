import { type Browser, chromium } from 'playwright-core';
import { messageOf, permanent } from '../../model/errors.ts';
import { ensureChromium } from '../../parts/chromium.ts';
import type { Report } from '../../parts/debian.ts';

/**
 * Starts a headless Chromium, to be closed by the caller; it ends with this process.
 *
 * @throws HoldfastError `CHROMIUM_MISSING`, `CHROMIUM_START`
 */
export async function startChromium(report?: Report): Promise<Browser> {
  const executablePath = await ensureChromium(report);
  try {
    return await chromium.launch({
      executablePath,
      args: [
        // Its sandbox needs to be another user than root; what is opened here is our own.
        ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
        // A container's /dev/shm has 64 MB.
        ...['--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb', '--no-first-run'],
        ...['--disable-background-networking', '--disable-component-update', '--disable-extensions'],
      ],
    });
  } catch (error) {
    throw permanent(
      'CHROMIUM_START',
      `${executablePath} doesn't start: ${messageOf(error)}`,
      'Start it by hand to see why; in a container it needs a writable home directory.',
      error,
    );
  }
}
