# U-Boot script: loads the image and the bundle from the partition that the script itself was found on, and starts them with
# U-Boot's own device tree. All addresses come from U-Boot's environment, so the same script serves QEMU and the boards.
# Made into boot.scr by `cargo xtask` (run --uboot, image).
echo "AIOS: booting from ${devtype} ${devnum}:${distro_bootpart}"
if load ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} /Image && load ${devtype} ${devnum}:${distro_bootpart} ${ramdisk_addr_r} /bundle.bin; then
    booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdtcontroladdr}
fi
echo "AIOS: Image or bundle.bin can't be loaded or started"
poweroff
