/* The double of NVIDIA's management library (libnvidia-ml.so.1): the functions that cloister-nvml calls, answered by the test.
 *
 * Each call is one connection to the Unix socket that NVML_DOUBLE names: a line with the call and its arguments goes there, a line
 * comes back, the nvmlReturn_t first. What is signed, and what is lied about, is decided at the other end (tests/src/nvml_double.rs).
 * Types and numbers are those of NVIDIA's nvml.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REPLY_BYTES_MAX (64 * 1024)
enum { SUCCESS = 0, TIMEOUT = 10, UNKNOWN = 999 };

/* Asks; returns the code, and what follows it in `reply`. */
static int ask(const char *call, char *reply, size_t room)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *path = getenv("NVML_DOUBLE");
    int stream = socket(AF_UNIX, SOCK_STREAM, 0), code = UNKNOWN;
    size_t got = 0;
    ssize_t part;
    char *rest;

    if (!path || stream < 0 || strlen(path) >= sizeof address.sun_path)
        goto out;
    strcpy(address.sun_path, path);
    if (connect(stream, (struct sockaddr *)&address, sizeof address) || dprintf(stream, "%s\n", call) < 0)
        goto out;
    while (got + 1 < room && (part = read(stream, reply + got, room - got - 1)) > 0)
        got += part;
    reply[got] = 0;
    reply[strcspn(reply, "\n")] = 0;
    code = (int)strtol(reply, &rest, 10);
    if (rest == reply)
        code = UNKNOWN;
    memmove(reply, rest + (*rest == ' '), strlen(rest + (*rest == ' ')) + 1);
out:
    if (stream >= 0)
        close(stream);
    return code;
}

static int ask_number(const char *call, unsigned int *number)
{
    char reply[64] = "";
    int code = ask(call, reply, sizeof reply);
    if (code == SUCCESS)
        *number = (unsigned int)strtoul(reply, NULL, 10);
    return code;
}

/* Text into the caller's buffer, as long as it fits, without an end if it does not: a library that is wrong. */
static int ask_text(const char *call, char *text, unsigned int length)
{
    char reply[256] = "";
    int code = ask(call, reply, sizeof reply);
    if (code == SUCCESS)
        strncpy(text, reply, length);
    return code;
}

/* "SIZE HEX": the bytes into the buffer, as many as fit, and the size as it is said. */
static int ask_bytes(const char *call, unsigned char *bytes, size_t room, unsigned int *size)
{
    char *reply = calloc(1, REPLY_BYTES_MAX), *hex;
    int code = reply ? ask(call, reply, REPLY_BYTES_MAX) : UNKNOWN;
    if (code == SUCCESS) {
        *size = (unsigned int)strtoul(reply, &hex, 10);
        hex += *hex == ' ';
        for (size_t at = 0; at < room && hex[2 * at] && hex[2 * at + 1]; at++) {
            char digits[3] = { hex[2 * at], hex[2 * at + 1], 0 };
            bytes[at] = (unsigned char)strtoul(digits, NULL, 16);
        }
    }
    free(reply);
    return code;
}

static int of_device(const char *what, void *device, char *call, size_t room)
{
    return snprintf(call, room, "%s %zu", what, (size_t)device - 1);
}

int nvmlInit_v2(void) { char reply[64]; return ask("init", reply, sizeof reply); }

int nvmlDeviceGetCount_v2(unsigned int *count) { return ask_number("count", count); }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device)
{
    *device = (void *)((size_t)index + 1);
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned int length)
{
    char call[64];
    of_device("uuid", device, call, sizeof call);
    return ask_text(call, uuid, length);
}

int nvmlDeviceGetVbiosVersion(void *device, char *version, unsigned int length)
{
    char call[64];
    of_device("vbios", device, call, sizeof call);
    return ask_text(call, version, length);
}

int nvmlSystemGetDriverVersion(char *version, unsigned int length) { return ask_text("driver", version, length); }

struct settings { unsigned int version, environment, feature, dev_tools, multi_gpu; };

int nvmlSystemGetConfComputeSettings(struct settings *settings)
{
    char reply[64] = "";
    int code;
    if (settings->version != (sizeof *settings | 1u << 24))
        return 25; /* another version of the structure */
    code = ask("settings", reply, sizeof reply);
    if (code == SUCCESS)
        sscanf(reply, "%u %u %u %u", &settings->environment, &settings->feature, &settings->dev_tools, &settings->multi_gpu);
    return code;
}

int nvmlSystemGetConfComputeGpusReadyState(unsigned int *ready) { return ask_number("ready?", ready); }

int nvmlSystemSetConfComputeGpusReadyState(unsigned int ready)
{
    char reply[64];
    return ask(ready ? "ready! 1" : "ready! 0", reply, sizeof reply);
}

struct report {
    unsigned int cec_present, size, cec_size;
    unsigned char nonce[32], report[8192], cec_report[4096];
};

int nvmlDeviceGetConfComputeGpuAttestationReport(void *device, struct report *report)
{
    char call[128];
    int at = of_device("report", device, call, sizeof call);
    call[at++] = ' ';
    for (int byte = 0; byte < 32; byte++)
        at += snprintf(call + at, sizeof call - at, "%02x", report->nonce[byte]);
    return ask_bytes(call, report->report, sizeof report->report, &report->size);
}

struct certificate {
    unsigned int chain_size, attestation_chain_size;
    unsigned char chain[4096], attestation_chain[5120];
};

int nvmlDeviceGetConfComputeGpuCertificate(void *device, struct certificate *certificate)
{
    char call[64];
    of_device("chain", device, call, sizeof call);
    return ask_bytes(call, certificate->attestation_chain, sizeof certificate->attestation_chain,
                     &certificate->attestation_chain_size);
}

int nvmlEventSetCreate(void **set) { *set = (void *)1; return SUCCESS; }

int nvmlDeviceGetSupportedEventTypes(void *device, unsigned long long *types)
{
    (void)device;
    *types = ~0ull;
    return SUCCESS;
}

int nvmlDeviceRegisterEvents(void *device, unsigned long long types, void *set)
{
    (void)device, (void)set;
    return types & 8 ? SUCCESS : UNKNOWN; /* whoever does not want Xid errors waits for nothing */
}

int nvmlEventSetWait_v2(void *set, void *data, unsigned int millis)
{
    char reply[64];
    int code = ask("event", reply, sizeof reply);
    (void)set, (void)data;
    if (code == TIMEOUT)
        usleep(1000 * (millis < 100 ? millis : 100));
    return code;
}
