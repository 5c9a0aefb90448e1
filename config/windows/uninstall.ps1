# Removes effect-rtmp as a Windows service. Written by src/node/WindowsScripts.ts.
#Requires -Version 5.1
#Requires -RunAsAdministrator
# The configuration and the data in ProgramData stay.
[CmdletBinding(SupportsShouldProcess)]
param()
Set-StrictMode -Version Latest
$ErrorActionPreference = "Stop"

$executable = Join-Path $env:ProgramFiles "effect-rtmp\service\effect-rtmp.exe"

if (-not $PSCmdlet.ShouldProcess("effect-rtmp", "remove the service")) { return }

if (Get-Service -Name "effect-rtmp" -ErrorAction SilentlyContinue) {
  Stop-Service -Name "effect-rtmp"
  & $executable uninstall
  if ($LASTEXITCODE -ne 0) { throw "$executable uninstall ended with status $LASTEXITCODE" }
}
Get-NetFirewallRule -Name "effect-rtmp" -ErrorAction SilentlyContinue | Remove-NetFirewallRule
Remove-Item -LiteralPath $executable, ([IO.Path]::ChangeExtension($executable, ".xml")) -Force -ErrorAction SilentlyContinue
