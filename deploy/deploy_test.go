// Package deploy holds Kubernetes manifests. Its test reads them as the API
// server would: strictly, by the types of the API.
package deploy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// objects reads all manifests. A key that the API does not know, or one that is
// there twice, is an error.
func objects(t *testing.T) map[string][]runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("manifests %v, %v", files, err)
	}
	all := map[string][]runtime.Object{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			object, _, err := decoder.Decode(document, nil, nil)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all[file] = append(all[file], object)
		}
	}
	return all
}

func TestManifests(t *testing.T) {
	for file, all := range objects(t) {
		for _, object := range all {
			switch object := object.(type) {
			case *appsv1.Deployment:
				selector, err := metav1.LabelSelectorAsSelector(object.Spec.Selector)
				if err != nil || !selector.Matches(labels.Set(object.Spec.Template.Labels)) {
					t.Errorf("%s: the selector %v does not match the pods, %v", file, object.Spec.Selector, err)
				}
				checkPod(t, file, object.Spec.Template.Spec)
			case *batchv1.Job:
				checkJob(t, file, object)
				checkPod(t, file, object.Spec.Template.Spec)
			case *corev1.PersistentVolumeClaim:
			default:
				t.Errorf("%s: nothing here checks a %T", file, object)
			}
		}
	}
}

// checkPod says what the API server would refuse, and holds the pod to what the
// file says of its privilege: the engine has all of it, and nobody else any.
func checkPod(t *testing.T, file string, pod corev1.PodSpec) {
	t.Helper()
	volumes := map[string]bool{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = true
	}
	used := map[string]bool{}
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		if container.Image == "" {
			t.Errorf("%s: container %s has no image", file, container.Name)
		}
		for _, mount := range container.VolumeMounts {
			used[mount.Name] = true
			if !volumes[mount.Name] || !filepath.IsAbs(mount.MountPath) {
				t.Errorf("%s: container %s mounts %s at %s", file, container.Name, mount.Name, mount.MountPath)
			}
		}
		security := container.SecurityContext
		isEngine := container.Name == "engine"
		privileged := security.Privileged != nil && *security.Privileged
		if privileged != isEngine {
			t.Errorf("%s: container %s: privileged %v", file, container.Name, privileged)
		}
		if isEngine {
			if container.RestartPolicy == nil || *container.RestartPolicy != corev1.ContainerRestartPolicyAlways || container.StartupProbe == nil {
				t.Errorf("%s: the engine is no sidecar that is waited for", file)
			}
			continue
		}
		if *security.AllowPrivilegeEscalation || !*security.ReadOnlyRootFilesystem || !slices.Contains(security.Capabilities.Drop, "ALL") {
			t.Errorf("%s: container %s has rights that it does not need", file, container.Name)
		}
		if !slices.ContainsFunc(container.VolumeMounts, func(mount corev1.VolumeMount) bool { return mount.MountPath == "/tmp" }) {
			t.Errorf("%s: container %s cannot write to /tmp", file, container.Name)
		}
	}
	for name := range volumes {
		if !used[name] {
			t.Errorf("%s: nobody mounts volume %s", file, name)
		}
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Errorf("%s: the pod has a token of the cluster", file)
	}
}

// checkJob holds a job to what an indexed one with a failure policy needs.
func checkJob(t *testing.T, file string, job *batchv1.Job) {
	t.Helper()
	spec := job.Spec
	if spec.CompletionMode == nil || *spec.CompletionMode != batchv1.IndexedCompletion || spec.Completions == nil {
		t.Fatalf("%s: the job is not indexed", file)
	}
	if spec.Template.Spec.RestartPolicy != corev1.RestartPolicyNever || spec.BackoffLimitPerIndex == nil {
		t.Errorf("%s: a failure policy by index needs restartPolicy Never and backoffLimitPerIndex", file)
	}
	for _, rule := range spec.PodFailurePolicy.Rules {
		if !slices.ContainsFunc(spec.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == *rule.OnExitCodes.ContainerName }) {
			t.Errorf("%s: the failure policy is about container %s, which is not there", file, *rule.OnExitCodes.ContainerName)
		}
	}
	args := spec.Template.Spec.Containers[0].Args
	at := slices.Index(args, "--shard")
	if want := fmt.Sprintf("$(JOB_COMPLETION_INDEX)/%d", *spec.Completions); at < 0 || args[at+1] != want {
		t.Errorf("%s: the shard is not %s: %q", file, want, args)
	}
}
