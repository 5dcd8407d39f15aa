/* libuv's echo in its fast idiom: one shared read buffer, uv_try_write first, and uv_write only for
 * what the socket did not take. While something waits to be written the connection is not read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct rest {
    uv_write_t request;
    char bytes[];
};

static char buffer[64 * 1024];

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
    (void)handle;
    (void)suggested;
    *out = uv_buf_init(buffer, sizeof buffer);
}

static void closed(uv_handle_t *handle) {
    free(handle);
}

static void drop(uv_stream_t *stream) {
    if (!uv_is_closing((uv_handle_t *)stream)) uv_close((uv_handle_t *)stream, closed);
}

static void received(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf);

static void written(uv_write_t *request, int status) {
    uv_stream_t *stream = request->handle;
    free(request);
    if (status < 0 || uv_read_start(stream, allocate, received) < 0) drop(stream);
}

static void received(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf) {
    if (got == 0) return;
    if (got < 0) {
        drop(stream);
        return;
    }
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)got);
    int put = uv_try_write(stream, &out, 1);
    if (put == got) return;
    if (put == UV_EAGAIN) put = 0;
    if (put < 0) {
        drop(stream);
        return;
    }
    size_t left = (size_t)(got - put);
    struct rest *rest = malloc(sizeof *rest + left);
    if (!rest) abort();
    memcpy(rest->bytes, buf->base + put, left);
    uv_buf_t tail = uv_buf_init(rest->bytes, (unsigned)left);
    uv_read_stop(stream);
    if (uv_write(&rest->request, stream, &tail, 1, written) < 0) {
        free(rest);
        drop(stream);
    }
}

static void connected(uv_stream_t *listener, int status) {
    if (status < 0) return;
    uv_tcp_t *client = malloc(sizeof *client);
    if (!client) abort();
    uv_tcp_init(listener->loop, client);
    if (uv_accept(listener, (uv_stream_t *)client) < 0 || uv_tcp_nodelay(client, 1) < 0 ||
        uv_read_start((uv_stream_t *)client, allocate, received) < 0)
        drop((uv_stream_t *)client);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: libuv PORT\n");
        return 2;
    }
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    struct sockaddr_in at;
    uv_tcp_init(loop, &listener);
    uv_ip4_addr("127.0.0.1", atoi(argv[1]), &at);
    int failed = uv_tcp_bind(&listener, (const struct sockaddr *)&at, 0);
    if (!failed) failed = uv_listen((uv_stream_t *)&listener, 4096, connected);
    if (failed) {
        fprintf(stderr, "listen: %s\n", uv_strerror(failed));
        return 1;
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
