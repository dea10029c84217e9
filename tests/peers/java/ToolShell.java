import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main methods of Kafka's own tools one after another in one JVM, because starting one
 * costs more than most of them do. A command is a line of tab-separated base64 fields on stdin:
 * stdin file, stdout file, stderr file, class, arguments. The answer is a line with the exit code.
 */
public final class ToolShell {
    private static final class ToolExit extends Error {
        ToolExit() {
            super("the tool has ended", null, false, false);
        }
    }

    /** Scala's Console keeps the stream it saw first, so the stream stays and its target changes. */
    private static final class SwitchStream extends OutputStream {
        private volatile OutputStream target;

        SwitchStream(OutputStream target) {
            this.target = target;
        }

        @Override
        public void write(int b) throws java.io.IOException {
            target.write(b);
        }

        @Override
        public void write(byte[] b, int off, int len) throws java.io.IOException {
            target.write(b, off, len);
        }

        @Override
        public void flush() throws java.io.IOException {
            target.flush();
        }
    }

    private static volatile Integer exitCode;

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        PrintStream errors = System.err;
        SwitchStream out = new SwitchStream(answers);
        SwitchStream err = new SwitchStream(errors);
        System.setOut(new PrintStream(out, true));
        System.setErr(new PrintStream(err, true));
        List<Runnable> hooks = new ArrayList<>();
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        Exit.setExitProcedure((code, message) -> leave(code));
        Exit.setHaltProcedure((code, message) -> leave(code));
        BufferedReader commands =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] encoded = line.split("\t", -1);
            String[] fields = new String[encoded.length];
            for (int i = 0; i < encoded.length; i++) {
                fields[i] = new String(Base64.getDecoder().decode(encoded[i]), StandardCharsets.UTF_8);
            }
            String[] toolArgs = new String[fields.length - 4];
            System.arraycopy(fields, 4, toolArgs, 0, toolArgs.length);
            int code;
            try (InputStream toolIn = new FileInputStream(fields[0]);
                    OutputStream toolOut = new FileOutputStream(fields[1]);
                    OutputStream toolErr = new FileOutputStream(fields[2])) {
                System.setIn(toolIn);
                out.target = toolOut;
                err.target = toolErr;
                code = run(fields[3], toolArgs);
                for (Runnable hook : hooks) {
                    hook.run();
                }
                System.out.flush();
                System.err.flush();
            } finally {
                hooks.clear();
                out.target = OutputStream.nullOutputStream();
                err.target = OutputStream.nullOutputStream();
            }
            answers.println(code);
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    /** Some tools catch what leaves their main and exit once more: the first code is the true one. */
    private static void leave(int code) {
        if (exitCode == null) {
            exitCode = code;
        }
        throw new ToolExit();
    }

    private static int run(String className, String[] args) {
        exitCode = null;
        try {
            Class.forName(className).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof ToolExit)) {
                e.getCause().printStackTrace();
                return 1;
            }
        } catch (ReflectiveOperationException e) {
            e.printStackTrace();
            return 1;
        }
        return exitCode == null ? 0 : exitCode;
    }
}
