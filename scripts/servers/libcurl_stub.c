/* Stands in for a libcurl whose symbols have the version CURL_OPENSSL_3. Some mongods ask for it, and distributions no
 * longer have it. mongod needs it to start, and makes requests only where it is told to, which no test does. So every
 * request fails here. mongod 4.x makes handles as it starts, so these can be had. */
#include <stddef.h>

struct version_info {
    int age;
    const char *version;
    unsigned int version_num;
    const char *host;
    int features;
    const char *ssl_version;
    long ssl_version_num;
    const char *libz_version;
    const char *const *protocols;
};

static const char *const protocols[] = {"https", NULL};
/* Bit 2: TLS; bit 7: asynchronous look-ups of names. mongod wants both. */
static struct version_info info = {
    .version = "7.64.0", .version_num = 0x074000, .host = "stub", .features = 1 << 2 | 1 << 7,
    .ssl_version = "none", .protocols = protocols,
};

void *curl_version_info(int age) { (void)age; return &info; }
int curl_global_init(long flags) { (void)flags; return 0; }
void curl_global_cleanup(void) {}
void *curl_easy_init(void) { return &info; }
void *curl_easy_duphandle(void *handle) { return handle; }
void curl_easy_cleanup(void *handle) { (void)handle; }
int curl_easy_getinfo(void *handle, int what, ...) { (void)handle; (void)what; return 2; }
int curl_easy_setopt(void *handle, int what, ...) { (void)handle; (void)what; return 0; }
int curl_easy_perform(void *handle) { (void)handle; return 2; }
const char *curl_easy_strerror(int code) { (void)code; return "no libcurl"; }
void *curl_share_init(void) { return &info; }
int curl_share_cleanup(void *share) { (void)share; return 0; }
int curl_share_setopt(void *share, int what, ...) { (void)share; (void)what; return 0; }
void *curl_slist_append(void *list, const char *text) { (void)list; (void)text; return &info; }
void curl_slist_free_all(void *list) { (void)list; }
