/* notify: tells a service manager how the process is, by sd_notify(3)'s protocol: one datagram to
 * $NOTIFY_SOCKET. Without that variable nothing happens. libsystemd is not used for it: thirty
 * lines against a library. */
#ifndef PGH_UTIL_NOTIFY_H
#define PGH_UTIL_NOTIFY_H

/* state: "READY=1", "STOPPING=1", "RELOADING=1\nMONOTONIC_USEC=...". Failures are ignored. */
void notify_manager(const char *state);

#endif
