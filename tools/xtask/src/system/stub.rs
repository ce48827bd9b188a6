//! A debugger's side of QEMU's stub, as far as a test needs it: looks at and sets registers of a stopped machine.
//!
//! Protocol: "GDB Remote Serial Protocol" of the GDB manual, appendix E. Registers by the numbers of QEMU's AArch64 description.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Number of the program counter.
pub const PC: u8 = 32;
/// Number of the processor state (PSTATE).
pub const PSTATE: u8 = 33;

/// How long the stub may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// QEMU's arguments for a stub on this socket.
pub fn arguments(socket: &Path) -> Vec<String> {
    let chardev = format!("socket,id=stub,path={},server=on,wait=off", socket.display());
    ["-chardev", &chardev, "-gdb", "chardev:stub"].map(str::to_owned).into()
}

/// A connection to a stub. The machine stops when it is made, and goes on when it is dropped.
pub struct Stub(UnixStream);

impl Stub {
    /// Connects and thereby stops the machine.
    pub fn stop(socket: &Path) -> Result<Self> {
        let end = Instant::now() + LIMIT;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() >= end => return Err(error).with_context(|| format!("can't open {}", socket.display())),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(LIMIT))?;
        let mut stub = Self(stream);
        stub.ask("?")?;
        // The stub takes questions about single registers only from those who have read which there are.
        stub.ask("qXfer:features:read:target.xml:0,ffb")?;
        Ok(stub)
    }

    /// Reads a register.
    pub fn register(&mut self, number: u8) -> Result<u64> {
        let digits = self.ask(&format!("p{number:x}"))?;
        // Bytes in the machine's order: the lowest first.
        let pairs = digits.as_bytes().chunks(2).rev();
        let text: String = pairs.flatten().map(|&digit| char::from(digit)).collect();
        u64::from_str_radix(&text, 16).with_context(|| format!("the stub answered `{digits}` for register {number}"))
    }

    /// Sets a register.
    pub fn set_register(&mut self, number: u8, value: u64) -> Result<()> {
        let answer = self.ask(&format!("P{number:x}={:016x}", value.swap_bytes()))?;
        if answer == "OK" { Ok(()) } else { bail!("the stub answered `{answer}` to a new value of register {number}") }
    }

    /// Lets the machine go on.
    pub fn go_on(&mut self) -> Result<()> {
        self.send("c")
    }

    /// Stops the machine again.
    pub fn interrupt(&mut self) -> Result<()> {
        self.0.write_all(b"\x03")?;
        self.answer().map(drop)
    }

    /// Sends a question and waits for its answer.
    fn ask(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        loop {
            let answer = self.answer()?;
            // "It has stopped" comes unasked too, when it happens.
            if !answer.starts_with(['T', 'S']) || packet == "?" {
                return Ok(answer);
            }
        }
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        Ok(self.0.write_all(format!("${packet}#{sum:02x}").as_bytes())?)
    }

    /// The next packet; what comes before it is acknowledgement.
    fn answer(&mut self) -> Result<String> {
        while self.byte()? != b'$' {}
        let mut text = String::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => text.push(char::from(byte)),
            }
        }
        // A local socket loses nothing: the checksum is not looked at.
        for _ in 0..2 {
            self.byte()?;
        }
        self.0.write_all(b"+")?;
        Ok(text)
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.0.read_exact(&mut byte).context("the stub does not answer")?;
        Ok(byte[0])
    }
}
