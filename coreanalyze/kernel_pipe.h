/* kernel_pipe.h: coreanalyze as the program that the kernel pipes core files to (core(5)): instead of a core
 * of gigabytes, a snapshot file of what the dying process holds, taken straight from its memory.
 *
 *   |/usr/bin/coreanalyze --kernel-pipe %P [-o FILE|DIRECTORY] [-- HANDLER [ARG...]]
 *
 * The kernel runs it as root in the first namespaces, with standard input alone open and the process standing
 * still until that is closed. */
#ifndef CA_KERNEL_PIPE_H
#define CA_KERNEL_PIPE_H

/* argv: what follows --kernel-pipe. Whatever happens the process may die within seconds and HANDLER, if there
 * is one, gets the core as if it were the only one; what went wrong is in the system's log. Returns an exit
 * code, or not, when HANDLER takes its place. */
int kernel_pipe_run(int argc, char **argv);

#endif
