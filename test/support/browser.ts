import { type Browser, chromium } from 'playwright-core';
import { messageOf, permanent } from '../../model/errors.ts';
import { ensureChromium } from '../../parts/chromium.ts';
import type { Report } from '../../parts/debian.ts';

/**
 * Starts a headless Chromium. The caller closes it; it also ends with this process.
 *
 * @throws HoldfastError `CHROMIUM_MISSING`, `CHROMIUM_START`
 */
export async function startChromium(report?: Report): Promise<Browser> {
  const executablePath = await ensureChromium(report);
  try {
    return await chromium.launch({
      executablePath,
      args: [
        // Chromium's sandbox doesn't work as root; the tests open only our own pages.
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
